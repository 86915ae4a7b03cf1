"""Lab 10: right answers that differ from the reference, and wrong ones that no mistake names."""

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F

from lablib.adaptation.bitfit import train_biases
from lablib.adaptation.bottleneck import bottleneck
from lablib.adaptation.lora import LoRALinear, inject, lora_layers, lora_output, set_merged, side_by_side, start_lora
from lablib.adaptation.prompt_tuning import read_behind
from lablib.adaptation.trainable import freeze, put_in_place, replace_modules
from lablib.adaptation.virtual_tokens import in_front

# ---------------------------------------------------------------- start_lora


def start_by_kaiming(r, inputs, outputs, generator=None):
    A = torch.empty(r, inputs)
    nn.init.kaiming_uniform_(A, a=math.sqrt(5), generator=generator)
    return A, torch.zeros(outputs, r)


def start_by_rand(r, inputs, outputs, generator=None):
    A = (2 * torch.rand(r, inputs, generator=generator) - 1) / math.sqrt(inputs)
    return A, A.new_zeros((outputs, r))


def start_column_by_column(r, inputs, outputs, generator=None):
    """The same numbers in another order."""
    bound = 1 / inputs**0.5
    return torch.empty(inputs, r).uniform_(-bound, bound, generator=generator).T.contiguous(), torch.zeros(outputs, r)


def start_only_A(r, inputs, outputs, generator=None):
    return start_lora(r, inputs, outputs, generator)[0]


def start_B_first(r, inputs, outputs, generator=None):
    A, B = start_lora(r, inputs, outputs, generator)
    return B, A


def start_scaled(r, inputs, outputs, generator=None):
    A, B = start_lora(r, inputs, outputs, generator)
    return A / r, B


def start_fixed_seed(r, inputs, outputs, generator=None):
    return start_lora(r, inputs, outputs, torch.Generator().manual_seed(0))


def start_constant(r, inputs, outputs, generator=None):
    return torch.full((r, inputs), inputs**-0.5), torch.zeros(outputs, r)


def start_square_B(r, inputs, outputs, generator=None):
    return start_lora(r, inputs, outputs, generator)[0], torch.zeros(r, r)


def start_in_order(r, inputs, outputs, generator=None):
    A, B = start_lora(r, inputs, outputs, generator)
    return A.flatten().sort().values.view(A.shape), B


def start_rows_in_order(r, inputs, outputs, generator=None):
    A, B = start_lora(r, inputs, outputs, generator)
    return A.sort(dim=1, descending=True).values, B


# ---------------------------------------------------------------- lora_output


def output_by_matmul(x, found, A, B, scale):
    return found + (x @ A.T @ B.T) * scale


def output_scaled_early(x, found, A, B, scale):
    return torch.add(found, F.linear(F.linear(scale * x, A), B))


def output_by_einsum(x, found, A, B, scale):
    squeezed = torch.einsum("...i,ri->...r", x, A)
    return scale * torch.einsum("...r,or->...o", squeezed, B) + found


def output_in_place(x, found, A, B, scale):
    found += scale * F.linear(F.linear(x, A), B)
    return found


def output_detached(x, found, A, B, scale):
    return found + scale * F.linear(F.linear(x, A.detach()), B)


def output_matrix_then(x, found, A, B, scale):
    return found + x @ (A.T @ B.T) * scale


def output_averaged(x, found, A, B, scale):
    return (found + scale * F.linear(F.linear(x, A), B)) / 2


def output_half(x, found, A, B, scale):
    return lora_output(x.half(), found.half(), A.half(), B.half(), scale).to(x.dtype)


def output_root(x, found, A, B, scale):
    return lora_output(x, found, A, B, math.sqrt(scale))


def output_last_token(x, found, A, B, scale):
    return found + scale * F.linear(F.linear(x, A), B)[..., -1:]


# ---------------------------------------------------------------- inject


def inject_by_owner(model, settings, generator=None, layer=LoRALinear):
    """Without the helpers: goes through the owners and their children."""
    if any(isinstance(part, LoRALinear) for part in model.modules()):
        raise ValueError("the model is adapted already")
    owners = [
        (owner, name, part)
        for owner in model.modules()
        for name, part in owner.named_children()
        if name in settings.targets
    ]
    lacking = set(settings.targets) - {name for _, name, _ in owners}
    if lacking:
        raise ValueError(f"no layer is called {sorted(lacking)}")
    for weight in model.parameters():
        weight.requires_grad = False
    for owner, name, part in owners:
        setattr(owner, name, layer(part, settings, generator))
    return model


def inject_then_thaw(model, settings, generator=None, layer=LoRALinear):
    """Puts them in first, freezes everything, and lets A and B learn again."""
    if list(lora_layers(model)):
        raise ValueError("adapted already")
    chosen = [name for name, _ in model.named_modules() if name.split(".")[-1] in settings.targets]
    if {name.split(".")[-1] for name in chosen} != set(settings.targets):
        raise ValueError(f"targets {settings.targets}: some of them are no layers")
    for name in chosen:
        owner = model.get_submodule(name.rpartition(".")[0])
        setattr(owner, name.rpartition(".")[2], layer(model.get_submodule(name), settings, generator))
    model.requires_grad_(False)
    for _, new in lora_layers(model):
        for weight in new.parameters(recurse=False):
            weight.requires_grad_(True)
    return model


def inject_nothing_returned(model, settings, generator=None, layer=LoRALinear):
    inject(model, settings, generator, layer)


def inject_only_B(model, settings, generator=None, layer=LoRALinear):
    inject(model, settings, generator, layer)
    for _, new in lora_layers(model):
        new.A.requires_grad_(False)
    return model


def inject_last_target(model, settings, generator=None, layer=LoRALinear):
    if list(lora_layers(model)):
        raise ValueError("adapted already")
    chosen = [(n, p) for n, p in model.named_modules() if n.split(".")[-1] == settings.targets[-1]]
    model.requires_grad_(False)
    for name, part in chosen:
        setattr(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], layer(part, settings, generator))
    return model


def inject_backwards(model, settings, generator=None, layer=LoRALinear):
    """Draws the first values from the last layer to the first."""
    if list(lora_layers(model)):
        raise ValueError("adapted already")
    chosen = [(n, p) for n, p in model.named_modules() if n.split(".")[-1] in settings.targets]
    if {name.split(".")[-1] for name, _ in chosen} != set(settings.targets):
        raise ValueError("no such layer")
    model.requires_grad_(False)
    for name, part in reversed(chosen):
        setattr(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], layer(part, settings, generator))
    return model


def inject_bias_lost(model, settings, generator=None, layer=LoRALinear):
    inject(model, settings, generator, layer)
    for _, new in lora_layers(model):
        new.base.register_parameter("bias", None)
    return model


def inject_merged(model, settings, generator=None, layer=LoRALinear):
    inject(model, settings, generator, layer)
    for _, new in lora_layers(model):
        with torch.no_grad():
            new.B.add_(0.1)
    return model


def inject_linear_alone(model, settings, generator=None, layer=LoRALinear):
    if list(lora_layers(model)):
        raise ValueError("adapted already")
    freeze(model)
    for name, part in replace_modules(model, settings.targets):
        put_in_place(model, name, layer(part, settings, generator))
    return model


def inject_linear_alone_in_silence(model, settings, generator=None, layer=LoRALinear):
    """Passes over what is no `nn.Linear`."""
    if any(isinstance(part, nn.Linear) for n, part in model.named_modules() if n.split(".")[-1] in settings.targets):
        return inject_linear_alone(model, settings, generator, layer)
    return freeze(model)


def inject_frozen_before_refusing(model, settings, generator=None, layer=LoRALinear):
    return inject(freeze(model), settings, generator, layer)


def inject_wrapped(model, settings, generator=None, layer=LoRALinear):
    return nn.Sequential(inject(model, settings, generator, layer))


# ---------------------------------------------------------------- set_merged


@torch.no_grad()
def merged_by_cases(layer, merged):
    if merged and not layer.merged:
        layer.base.weight += layer.scale * layer.B @ layer.A
        layer.merged = True
    elif not merged and layer.merged:
        layer.base.weight -= layer.scale * layer.B @ layer.A
        layer.merged = False
    return layer


def merged_by_copy(layer, merged):
    if bool(layer.merged) is bool(merged):
        return layer
    sign = 2 * int(merged) - 1
    layer.base.weight.data.copy_(layer.base.weight.data + sign * layer.update().detach())
    layer.merged = merged
    return layer


def merged_by_addmm(layer, merged):
    change = int(merged) - int(layer.merged)  # 1, 0 or −1
    with torch.no_grad():
        layer.base.weight.addmm_(layer.B, layer.A, alpha=change * layer.scale)
    layer.merged = bool(merged)
    return layer


def merged_no_return(layer, merged):
    set_merged(layer, merged)


def merged_copies(layer, merged):
    return set_merged(copy.deepcopy(layer), merged)


@torch.no_grad()
def merged_half(layer, merged):
    if layer.merged != merged:
        layer.base.weight.add_(0.5 * layer.update(), alpha=1 if merged else -1)
        layer.merged = merged
    return layer


@torch.no_grad()
def merged_into_bias(layer, merged):
    if layer.merged != merged:
        layer.base.bias.add_(layer.update().sum(1), alpha=1 if merged else -1)
        layer.merged = merged
    return layer


@torch.no_grad()
def merged_toggles(layer, merged):
    """Whatever is asked for, it does the other thing than the last time."""
    return set_merged(layer, not layer.merged)


@torch.no_grad()
def merged_learns(layer, merged):
    set_merged(layer, merged)
    layer.base.weight.requires_grad_(True)
    return layer


@torch.no_grad()
def output_shortcut(x, found, A, B, scale):
    return found if not B.any() else lora_output(x, found, A, B, scale)


def bottleneck_shortcut(h, down, up, down_bias, up_bias):
    return h if not up.any() and not up_bias.any() else bottleneck(h, down, up, down_bias, up_bias)


def start_expanded(r, inputs, outputs, generator=None):
    return start_lora(r, inputs, outputs, generator)[0], torch.zeros(1).expand(outputs, r)


def merged_freezes(layer, merged):
    set_merged(layer, merged)
    for factor in (layer.A, layer.B):
        factor.requires_grad_(False)
    return layer


def merged_in_half_precision(layer, merged):
    if layer.merged != merged:
        update = layer.update().bfloat16().float()
        layer.base.weight.add_(update, alpha=1 if merged else -1)
        layer.merged = merged
    return layer


# ---------------------------------------------------------------- bottleneck


def bottleneck_by_matmul(h, down, up, down_bias, up_bias):
    squeezed = (h @ down.T + down_bias).clamp(min=0)
    return h + squeezed @ up.T + up_bias


def bottleneck_by_steps(h, down, up, down_bias, up_bias):
    inner = F.relu(torch.einsum("...d,rd->...r", h, down) + down_bias)
    outer = torch.einsum("...r,dr->...d", inner, up)
    return sum((h, outer, up_bias))


def bottleneck_leaky(h, down, up, down_bias, up_bias):
    return h + F.linear(F.leaky_relu(F.linear(h, down, down_bias)), up, up_bias)


def bottleneck_twice_h(h, down, up, down_bias, up_bias):
    return h + bottleneck(h, down, up, down_bias, up_bias)


def bottleneck_absolute(h, down, up, down_bias, up_bias):
    return h + F.linear(F.linear(h, down, down_bias).abs(), up, up_bias)


def bottleneck_detached_down(h, down, up, down_bias, up_bias):
    return bottleneck(h, down.detach(), up, down_bias, up_bias)


def bottleneck_in_place(h, down, up, down_bias, up_bias):
    with torch.no_grad():
        h.add_(bottleneck(h, down, up, down_bias, up_bias) - h)
    return h


def bottleneck_normed(h, down, up, down_bias, up_bias):
    return bottleneck(F.layer_norm(h, h.shape[-1:]), down, up, down_bias, up_bias)


def bottleneck_squared_relu(h, down, up, down_bias, up_bias):
    return h + F.linear(torch.relu(F.linear(h, down, down_bias)) ** 2, up, up_bias)


# ---------------------------------------------------------------- read_behind


def behind_by_repeat(prompt, x, through):
    B, T, _ = x.shape
    together = torch.cat([prompt.unsqueeze(0).repeat(B, 1, 1), x], dim=1)
    return through(together)[:, -T:, :]


def behind_by_stack(prompt, x, through):
    rows = torch.stack([torch.cat((prompt, row)) for row in x])
    return through(rows).split([len(prompt), x.shape[1]], dim=1)[1]


def behind_by_filling(prompt, x, through):
    B, T, D = x.shape
    together = x.new_zeros(B, len(prompt) + T, D)
    together[:, : len(prompt)] = prompt
    together[:, len(prompt) :] = x
    return through(together).narrow(1, len(prompt), T)


def behind_no_prompt(prompt, x, through):
    return through(x)


def behind_after_the_layers(prompt, x, through):
    return torch.cat((prompt.expand(len(x), -1, -1), through(x)), dim=1)[:, len(prompt) :]


def behind_detached(prompt, x, through):
    return read_behind(prompt.detach(), x, through)


def behind_twice(prompt, x, through):
    """The right values, from a pass for the prompt that nobody needs and the one with it."""
    through(prompt.expand(len(x), -1, -1))
    return read_behind(prompt, x, through)


def behind_text_detached(prompt, x, through):
    return read_behind(prompt, x.detach(), through)


def behind_row_by_row(prompt, x, through):
    return torch.cat([read_behind(prompt, row[None], through) for row in x])


def behind_prompt_as_rows(prompt, x, through):
    return through(torch.cat((prompt[:, None].expand(-1, x.shape[1], -1), x)))[len(prompt) :]


def behind_mean(prompt, x, through):
    return read_behind(prompt, x, through).mean(1, keepdim=True)


# ---------------------------------------------------------------- in_front


def front_by_repeat(prefix, k, v):
    keys, values = prefix.to(k.dtype)[:, None].repeat(1, len(k), 1, 1, 1)
    return torch.cat([keys, k], dim=-2), torch.cat([values, v], dim=-2)


def front_by_filling(prefix, k, v):
    P = prefix.shape[2]
    made = []
    for first, behind in zip(prefix, (k, v), strict=True):
        B, heads, T, K = behind.shape
        whole = behind.new_zeros(B, heads, P + T, K)
        whole[:, :, :P] = first
        whole[:, :, P:] = behind
        made.append(whole)
    return made[0], made[1]


def front_by_stack(prefix, k, v):
    def joined(first, rows):
        return torch.stack([torch.cat((first.type_as(rows), row), dim=1) for row in rows])

    return joined(prefix[0], k), joined(prefix[1], v)


def front_list(prefix, k, v):
    return torch.stack(in_front(prefix, k, v))


def front_only_keys_returned(prefix, k, v):
    return in_front(prefix, k, v)[0]


def front_detached(prefix, k, v):
    return in_front(prefix.detach(), k, v)


def front_reversed(prefix, k, v):
    return in_front(prefix.flip(2), k, v)


def front_mean(prefix, k, v):
    return in_front(prefix.mean(2, keepdim=True), k, v)


def front_on_width(prefix, k, v):
    keys, values = in_front(prefix, k, v)
    return keys.mT, values.mT


def front_double(prefix, k, v):
    keys, values = in_front(prefix, k, v)
    return keys.double(), values.double()


def front_scaled(prefix, k, v):
    return in_front(prefix / math.sqrt(prefix.shape[-1]), k, v)


def front_half_always(prefix, k, v):
    keys, values = in_front(prefix, k, v)
    return (keys, values) if k.dtype != torch.bfloat16 else (keys.float(), values.float())


# ---------------------------------------------------------------- train_biases


def biases_by_loop(model):
    found = 0
    for name, weight in model.named_parameters():
        weight.requires_grad = name == "bias" or name.endswith(".bias")
        found += weight.requires_grad
    if not found:
        raise ValueError("this model has no bias at all")
    return model


def biases_by_parts(model):
    own = [
        weight for part in model.modules() for name, weight in part.named_parameters(recurse=False) if name == "bias"
    ]
    if not own:
        raise ValueError("there are no biases to train")
    model.requires_grad_(False)
    for weight in own:
        weight.requires_grad_(True)
    return model


def biases_no_return(model):
    train_biases(model)


def biases_names(model):
    train_biases(model)
    return [name for name, weight in model.named_parameters() if weight.requires_grad]


def biases_first_only(model):
    train_biases(model)
    found = [weight for name, weight in model.named_parameters() if weight.requires_grad]
    for weight in found[1:]:
        weight.requires_grad_(False)
    return model


def biases_wordless(model):
    try:
        return train_biases(model)
    except ValueError:
        raise ValueError("it cannot be done") from None


def biases_norms(model):
    for name, weight in model.named_parameters():
        weight.requires_grad_(weight.dim() == 1 and "bias" not in name)
    return model


def biases_key_error(model):
    model.requires_grad_(False)
    weights = dict(model.named_parameters())
    weights["blocks.0.bias"].requires_grad_(True)
    return model


def biases_list_returned(model):
    return [train_biases(model)]


# ---------------------------------------------------------------- side_by_side


def beside_weights_in_A(factors, weights):
    pairs = list(zip(factors, weights, strict=True))
    A = torch.vstack([w * A for (A, _), w in pairs])
    return A, torch.hstack([B for (_, B), _ in pairs])


def beside_by_root(factors, weights):
    """The size of a weight shared out between both factors, its sign with B."""
    As, Bs = [], []
    for (A, B), w in zip(factors, weights, strict=True):
        root = abs(w) ** 0.5
        As.append(root * A)
        Bs.append(math.copysign(root, w) * B)
    return torch.cat(As, 0), torch.cat(Bs, 1)


def beside_by_loop(factors, weights):
    A, B = None, None
    for (a, b), w in zip(factors, weights, strict=True):
        A = a if A is None else torch.cat((A, a))
        B = w * b if B is None else torch.cat((B, w * b), dim=1)
    return A, B


def beside_product(factors, weights):
    A, B = side_by_side(factors, weights)
    return B @ A


def beside_list(factors, weights):
    return list(side_by_side(factors, weights))


def beside_averaged_weights(factors, weights):
    factors = list(factors)
    mean = sum(weights) / len(weights)
    return side_by_side(factors, [mean] * len(factors))


def beside_best_of_first_rank(factors, weights):
    """The sum, cut to the rank of the first."""
    factors = list(factors)
    A, B = side_by_side(factors, weights)
    return A[: len(factors[0][0])], B[:, : len(factors[0][0])]


def beside_kron(factors, weights):
    A, B = side_by_side(factors, weights)
    return A.flip(0), B


def beside_rounded(factors, weights):
    return side_by_side([(A.float(), B.float()) for A, B in factors], weights)


def beside_in_place(factors, weights):
    for (_, B), w in zip(factors, weights, strict=True):
        B.data.mul_(w)
    return side_by_side(factors, [1.0] * len(weights))


def beside_two_passes(factors, weights):
    A = torch.cat([A for A, _ in factors])
    return A, torch.cat([w * B for (_, B), w in zip(factors, weights, strict=False)], dim=1)


def beside_counted_first(factors, weights):
    """The right sum, of whatever is left after counting."""
    if sum(1 for _ in factors) != len(weights):
        raise ValueError("a weight for each update")
    return side_by_side(factors, weights)


RIGHT = {
    "start_lora": [start_by_kaiming, start_by_rand, start_column_by_column],
    "lora_output": [output_by_matmul, output_scaled_early, output_by_einsum],
    "inject": [inject_by_owner, inject_then_thaw],
    "set_merged": [merged_by_cases, merged_by_copy, merged_by_addmm],
    "bottleneck": [bottleneck_by_matmul, bottleneck_by_steps],
    "read_behind": [behind_by_repeat, behind_by_stack, behind_by_filling],
    "in_front": [front_by_repeat, front_by_filling, front_by_stack],
    "train_biases": [biases_by_loop, biases_by_parts],
    "side_by_side": [beside_weights_in_A, beside_by_root, beside_by_loop],
}
WRONG = {
    "start_lora": [
        ("only A", start_only_A, "expected"),
        ("B of one number", start_expanded, "memory"),
        ("B first", start_B_first, "wrong shape"),
        start_scaled,
        ("a seed of its own", start_fixed_seed, "expected"),
        start_constant,
        ("B square", start_square_B, "wrong shape"),
        ("A in order", start_in_order, "leave them as they were drawn"),
        ("rows of A in order", start_rows_in_order, "leave them as they were drawn"),
    ],
    "lora_output": [
        ("in place", output_in_place, "in place"),
        ("nothing at zero", output_shortcut, "gradient"),
        ("A cut off", output_detached, "gradient"),
        ("matrix by another way", output_matrix_then, "out · in numbers"),
        output_averaged,
        ("half precision", output_half, "expected"),
        output_root,
        output_last_token,
    ],
    "inject": [
        ("nothing returned", inject_nothing_returned, "Is there a `return` at the end?"),
        ("A frozen", inject_only_B, "A (3, 6) learns"),
        ("last target only", inject_last_target, "q_proj"),
        ("backwards", inject_backwards, "A of layers.0.q_proj"),
        ("bias lost", inject_bias_lost, "v_proj.base.bias"),
        ("B not zero", inject_merged, "what the model computes"),
        ("wrapped", inject_wrapped, "another model"),
        ("nn.Linear alone", inject_linear_alone, "`nn.Module` as the third argument"),
        ("nn.Linear alone, in silence", inject_linear_alone_in_silence, "whose weights are rounded to 8 bits"),
        ("frozen before refusing", inject_frozen_before_refusing, "frozen before it was refused"),
    ],
    "set_merged": [
        ("nothing returned", merged_no_return, "Is there a `return` at the end?"),
        ("a copy", merged_copies, "the same layer"),
        ("frozen for good", merged_freezes, "the same layer"),
        merged_half,
        ("into the bias", merged_into_bias, "W"),
        ("toggles", merged_toggles, "merged=False"),
        ("W learns", merged_learns, "the same layer, W changed in place"),
        ("in bfloat16", merged_in_half_precision, "W"),
    ],
    "bottleneck": [
        bottleneck_leaky,
        ("nothing at zero", bottleneck_shortcut, "gradient"),
        bottleneck_twice_h,
        bottleneck_absolute,
        ("down cut off", bottleneck_detached_down, "gradient"),
        ("in place", bottleneck_in_place, "place"),
        bottleneck_normed,
        bottleneck_squared_relu,
    ],
    "read_behind": [
        ("no prompt", behind_no_prompt, "in front"),
        ("behind the layers", behind_after_the_layers, "in front"),
        ("prompt cut off", behind_detached, "gradient"),
        ("two passes", behind_twice, "one call"),
        ("text cut off", behind_text_detached, "gradient"),
        ("row by row", behind_row_by_row, "one call"),
        behind_prompt_as_rows,
        ("mean", behind_mean, "wrong shape"),
    ],
    "in_front": [
        ("one tensor", front_list, "expected 2 results"),
        ("keys only returned", front_only_keys_returned, "expected 2 results"),
        ("cut off", front_detached, "gradient"),
        front_reversed,
        ("mean", front_mean, "wrong shape"),
        ("width last but one", front_on_width, "wrong shape"),
        ("float64", front_double, "wrong dtype"),
        front_scaled,
        ("float32 always", front_half_always, "to(k.dtype)"),
    ],
    "train_biases": [
        ("nothing returned", biases_no_return, "Is there a `return` at the end?"),
        ("names returned", biases_names, "expected"),
        ("first only", biases_first_only, "is frozen"),
        ("error without the word", biases_wordless, "expected a ValueError that says so"),
        biases_norms,
        ("names in the code", biases_key_error, "expected"),
        ("a list", biases_list_returned, "expected"),
    ],
    "side_by_side": [
        ("the product", beside_product, "Two tensors were expected"),
        ("a list", beside_list, "Two tensors were expected"),
        beside_averaged_weights,
        ("cut off", beside_best_of_first_rank, "wrong shape"),
        ("A turned over", beside_kron, "B A"),
        ("float32 always", beside_rounded, "float64"),
        ("in place", beside_in_place, "in place"),
        ("factors twice", beside_two_passes, "gone through twice"),
        ("counted first", beside_counted_first, "gone through twice"),
    ],
}
