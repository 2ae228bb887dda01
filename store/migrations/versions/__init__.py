"""The steps. A step that was released is never edited; another one follows it."""
