"""How the course draws: one visual style, a live chart, and views of attention.

Everything here takes plain arrays and functions and gives back a picture with a text alternative; no model
lives here and nothing from the other folders of the package is imported. Widgets are thin wrappers over
plain callbacks, so every picture can be made, and tested, without a browser. Nothing is imported until it
is asked for by name (`from lablib.show.style import figure`).
"""
