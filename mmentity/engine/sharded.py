"""Fully sharded data parallelism (FSDP), of which every process holds a part of the model."""

from typing import Any

import torch
from mmengine._strategy import FSDPStrategy
from mmengine.dist import all_reduce
from mmengine.optim import OptimWrapper
from torch.distributed.fsdp import FullyShardedDataParallel

from mmentity.registry import OPTIM_WRAPPERS, STRATEGIES


@STRATEGIES.register_module()
class ShardedStrategy(FSDPStrategy):
    """mmengine's ``FSDPStrategy``, which a training can be resumed with.

    mmengine gives the optimizer's state to PyTorch by position, in an order of before 2.1.
    """

    def load_optim_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Give every process its part of the state of the optimizer."""
        sharded = FullyShardedDataParallel.optim_state_dict_to_load(
            model=self.model,
            optim=self.optim_wrapper.optimizer,
            optim_state_dict=state_dict,
        )
        self.optim_wrapper.load_state_dict(sharded)


@OPTIM_WRAPPERS.register_module()
class ShardedOptimWrapper(OptimWrapper):
    """Clip gradients by the norm of the whole model under fully sharded data parallelism.

    mmengine's ``OptimWrapper`` takes the norm of the part of a process, so that every process
    would scale its part by another factor. Only the L2 norm is known here, and all
    parameters have to be sharded (``FULL_SHARD`` or ``SHARD_GRAD_OP`` over all processes).
    """

    def _clip_grad(self) -> None:
        max_norm = self.clip_grad_kwargs.get('max_norm')
        if max_norm is None or self.clip_grad_kwargs.get('norm_type', 2) != 2:
            raise ValueError(
                f'clip_grad is {self.clip_grad_kwargs}; sharded gradients are clipped by '
                'max_norm with norm_type 2 only'
            )
        grads = [
            parameter.grad
            for group in self.optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        device = grads[0].device if grads else self.optimizer.param_groups[0]['params'][0].device
        squares = torch.zeros((), dtype=torch.float64, device=device)
        for grad in grads:
            squares += grad.double().square().sum()
        # a process without any part takes part in the sum
        all_reduce(squares)
        norm = squares.sqrt()
        factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factor.to(grad.dtype))
        self.message_hub.update_scalar(f'train/{self.grad_name}', float(norm))
