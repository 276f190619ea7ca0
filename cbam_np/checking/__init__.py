"""The gradient checks: `simple`, which fits on a blackboard, and `cbam_np.gradcheck`, for work.

simple       every entry, by central differences: read this one first
thorough     `gradcheck`, which is made of
  forms        an operation in the forms in which people write one
  operation    forward, backward, the output for inputs that were changed, and what a backward promises
  slopes       a slope, by differences and by the complex step
  comparison   one input: its gradient beside the slopes that are measured
  diagnosis    what is wrong with a wrong gradient
  report       the result, and its table

mutants      mistakes planted in this package: the checks have to find them
cupy_standin NumPy behind CuPy's door
"""
