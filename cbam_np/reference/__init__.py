"""What the code is held against: the formulas, plain loops, the table of operations, the counts of cost."""
