"""What tests of several tiers share: real servers, and topics on them."""
