"""The Yeti dialect: JSON:API for carriers, over the same rooms as the other doors. It translates; it holds no rule."""
