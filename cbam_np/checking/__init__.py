"""How `cbam_np.gradcheck` works.

slopes       a slope, by differences and by the complex step
operation    the operation that is checked: forward, backward, and its output for inputs that were changed
comparison   one input: its gradient beside the slopes that are measured
report       the result, and its table
"""
