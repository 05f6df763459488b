"""Claims about training and publishing, each a list of runs on a log, judged by the protocol of `freshet evaluate`."""
