"""`freshet evaluate`: the online update, its controls and its peers, judged on a day that none of them has seen."""
