"""One walk through a day, with the commands that people run, and the page of results it ends with."""
