"""Studies: the document's claims about networks, each put to the test. `cbam-np study` runs them.

A study is a list of runs (`plan`). A run is a few numbers that say what is done, and gives one dict of results
(`running`), which is kept in one file (`store`). From these files come tables and verdicts (`summary`) and pictures
(`figures`). Needs the extra "study".
"""
