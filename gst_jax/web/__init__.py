"""The studio: a web page on this computer to convert songs, train on one's own music, and hear what was learned."""
