"""The folder of our models. Names and files are for ever: a model that is trained anew gets a new name."""
