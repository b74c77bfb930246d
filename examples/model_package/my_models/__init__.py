"""The folder of our models. Names and files are forever: a model that is trained anew gets a new name."""
