"""Encoders of a study read out on real pieces, with networks of other people as judges.

judges     YAMNet for what is heard, EfficientNet-Lite0 for what is seen
material   a movie, sounds and pictures: inputs of encoders, and what the judges find
encoders   those of a study: untrained, trained, and plain statistics
agreement  a linear probe for the judges' tags, and nearest neighbors
page       the result file
"""
