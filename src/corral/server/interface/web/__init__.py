"""The pages the server shows itself: plain HTML, CSS and JavaScript of our own, nothing from outside."""
