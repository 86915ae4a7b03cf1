"""A model that is there is fitted to a purpose: taught to answer, adapted cheaply, given knowledge to look things up in."""
