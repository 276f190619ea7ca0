"""The exercises of the notebooks: one module a chapter, and the checker that answers."""
