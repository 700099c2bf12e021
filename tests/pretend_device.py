"""A CUDA device that is not there: tensors on the CPU that behave as if they were on a GPU.

Every operation is computed for real, so code that depends on data runs to its end. On the
way each one is checked as a GPU would: tensors of two devices do not mix. What makes the
host wait for the device is counted, and what raises under
``torch.use_deterministic_algorithms(True)`` on CUDA is noted.
"""

from collections import Counter
from contextlib import ExitStack
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

PRETEND = torch.device('cuda', 0)
# what C++ takes the tensors for: it has no memory and no driver
INSIDE = torch.device('meta')
# their sizes depend on values, which the host has to know
SHAPE_OF_VALUES = {
    'nonzero',
    'masked_select',
    '_unique',
    '_unique2',
    'unique_dim',
    'unique_consecutive',
    'bincount',
    'equal',
}
# that raise, of https://docs.pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html
NONDETERMINISTIC = {
    'adaptive_max_pool2d_backward',
    '_adaptive_avg_pool2d_backward',
    'grid_sampler_2d_backward',
    'grid_sampler_3d_backward',
    'histc',
    'kthvalue',
    'nll_loss2d_forward',
    'nll_loss2d_backward',
    'put_',
    'reflection_pad2d_backward',
    'replication_pad2d_backward',
    'upsample_bicubic2d_backward',
    'upsample_bilinear2d_backward',
}


class PretendTensor(torch.Tensor):
    """A tensor on the pretended device; ``real`` lies on the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, real):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            real.size(),
            strides=real.stride(),
            storage_offset=real.storage_offset(),
            dtype=real.dtype,
            layout=real.layout,
            device=INSIDE,
        )
        made.real_tensor = real
        return made

    device = property(lambda self: PRETEND)
    is_cuda = property(lambda self: True)
    is_meta = property(lambda self: False)

    def __repr__(self):
        return f'PretendTensor({self.real_tensor})'

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return PretendCuda.current.run(func, args, kwargs or {})


class PretendCuda:
    """While entered, ``device='cuda'`` is pretended.

    Attributes:
        syncs: How often the host waited for the device, by operation.
        nondeterministic: Operations that have no deterministic way on CUDA.
    """

    current = None

    def __enter__(self):
        assert PretendCuda.current is None, 'one device is enough'
        PretendCuda.current = self
        self.reset()
        self._stack = ExitStack()
        # an op that mmcv compiled takes addresses, which are of no GPU here
        compiled = 'mmentity.models.layers.deformable_attention._has_compiled_op'
        op = mock.patch(compiled, return_value=False)
        for context in (_Names(), _Operations(), op, *_memory(free=1 << 30)):
            self._stack.enter_context(context)
        return self

    def __exit__(self, *error):
        self._stack.__exit__(*error)
        PretendCuda.current = None

    def reset(self):
        """Count from here on."""
        self.syncs, self.nondeterministic = Counter(), Counter()

    def run(self, func, args, kwargs):
        """Compute one operation."""
        name = func._schema.name.split('::')[1]
        tensors = list(_tensors((args, kwargs)))
        pretended = [isinstance(x, PretendTensor) for x in tensors]
        if any(x.device == INSIDE for x in tensors):
            raise RuntimeError(f'aten::{name} got a tensor that was made past this device')
        goes_there, device = any(pretended), kwargs.get('device')
        if device is not None:
            goes_there = torch.device(device).type in (INSIDE.type, PRETEND.type)
            kwargs = {**kwargs, 'device': 'cpu'}
        self._check_devices(name, args, tensors, pretended)
        if any(pretended) or goes_there:
            self._count(name, args, kwargs, pretended, goes_there)
        out = func(*_map(_real, args), **_map(_real, kwargs))
        if name[-1] == '_' and name[-2:] != '__':
            return args[0]
        if name == '_local_scalar_dense':
            return out
        return _map(PretendTensor, out) if goes_there else out

    @staticmethod
    def _check_devices(name, args, tensors, pretended):
        """Refuse what CUDA refuses."""
        if all(pretended) or not any(pretended) or name in ('copy_', '_to_copy'):
            return
        if name in ('index', 'index_put_', '_index_put_impl_', 'index_put'):
            # indices may lie on the CPU, but a table on the CPU takes only such
            if isinstance(args[0], PretendTensor):
                return
        elif all(own or tensor.ndim == 0 for own, tensor in zip(pretended, tensors)):
            return
        devices = [str(tensor.device) for tensor in tensors]
        raise RuntimeError(f'aten::{name} got tensors of several devices: {devices}')

    def _count(self, name, args, kwargs, pretended, goes_there):
        waits = name in SHAPE_OF_VALUES or name == '_local_scalar_dense'
        if name == '_to_copy':
            waits = any(pretended) != goes_there and not kwargs.get('non_blocking')
            waits = waits or (any(pretended) and not goes_there)
        elif name == 'copy_':
            is_blocking = not (args[2] if len(args) > 2 else kwargs.get('non_blocking'))
            to_device = isinstance(args[0], PretendTensor)
            waits = not all(pretended) and (is_blocking or not to_device)
        elif name in ('index', 'index_put_', '_index_put_impl_'):
            indices = [x for x in args[1] if x is not None]
            self.syncs[name] += sum(
                x.dtype in (torch.bool, torch.uint8) or not isinstance(x, PretendTensor)
                for x in indices
            )
        elif name == 'repeat_interleave':
            waits = kwargs.get('output_size') is None and len(args) < 2
        if waits:
            self.syncs[name] += 1
        if (
            name in NONDETERMINISTIC
            or (name == 'bincount' and (len(args) > 1 or kwargs.get('weights') is not None))
            or (name in ('cumsum', 'cumsum_') and args[0].is_floating_point())
        ):
            self.nondeterministic[name] += 1


def _memory(free):
    """What PyTorch tells of the memory of the device, bytes."""
    values = {'mem_get_info': (free, free), 'memory_reserved': 0, 'memory_allocated': 0}
    return [
        mock.patch.object(torch.cuda, name, lambda device=None, value=value: value)
        for name, value in values.items()
    ]


def _real(tensor):
    return tensor.real_tensor if isinstance(tensor, PretendTensor) else tensor


def _map(function, value):
    """Apply a function to the tensors of nested arguments."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_map(function, item) for item in value)
    if isinstance(value, dict):
        return {key: _map(function, item) for key, item in value.items()}
    return value


def _tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


class _Operations(TorchDispatchMode):
    """Takes operations that make tensors of nothing."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return PretendCuda.current.run(func, args, kwargs or {})


class _Names(TorchFunctionMode):
    """Takes the name of the device away before PyTorch looks for a driver."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.Tensor.tolist:
            return args[0].cpu().tolist() if isinstance(args[0], PretendTensor) else func(*args)
        if func in (torch.tensor, torch.as_tensor) and _is_pretended(kwargs.get('device')):
            return func(*args, **{**kwargs, 'device': 'cpu'}).to(INSIDE)
        if func is torch.Tensor.new_tensor and isinstance(args[0], PretendTensor):
            options = {'dtype': args[0].dtype, **kwargs, 'device': 'cpu'}
            return torch.tensor(*args[1:], **options).to(INSIDE)
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            args = (args[0], _index(args[0], args[1]), *args[2:])
        if func is torch.Tensor.cuda:
            return args[0].to(INSIDE, **kwargs)
        args = [INSIDE if _is_pretended(arg) else arg for arg in args]
        if _is_pretended(kwargs.get('device')):
            kwargs = {**kwargs, 'device': INSIDE}
        return func(*args, **kwargs)


def _index(tensor, index):
    """Numbers in a list become a tensor as PyTorch makes one of them, but in our sight."""
    if isinstance(index, tuple):
        return tuple(_index(tensor, part) for part in index)
    if isinstance(index, list) and isinstance(tensor, PretendTensor):
        return torch.tensor(index).to(INSIDE)
    return index


def _is_pretended(value):
    if isinstance(value, str):
        return value.split(':')[0] == PRETEND.type
    return isinstance(value, torch.device) and value.type == PRETEND.type
