"""What the code is compared with: the formulas, plain loops, the table of operations, the counts of cost."""
