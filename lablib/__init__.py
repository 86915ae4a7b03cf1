"""From Data to Dialogue: how a language model is made, in code small enough to read.

The folders tell the life of a model in order: `architecture`, `corpus`, `tokens`, `pretraining`, `adaptation`, `alignment`,
`deployment`. `show` draws, `course` runs the exercises, `models` finds real pre-trained models. Nothing happens at import.
"""

__version__ = "0.1.0"
