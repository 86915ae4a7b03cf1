"""Where the text comes from and what is done to it before a model sees it: sources, the invented world, filters, mixtures."""
