# From trained weights on a CPU: a shorter cycle at half the rate of demo_onecycle.py.
_base_ = './demo_onecycle.py'

optim_wrapper = dict(optimizer=dict(lr=5e-4))
max_iters = 500
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(eta_max=5e-4, total_steps=max_iters, end=max_iters)
