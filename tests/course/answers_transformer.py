"""Lab 04: right answers that differ from the reference, and wrong ones that are not among the named mistakes."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from lablib.architecture.attention import causal_mask
from lablib.architecture.encoder_decoder import DecoderLayer, EncoderLayer, Transformer, TransformerConfig
from lablib.architecture.layers import FeedForward, SwiGLU, layer_norm

# ---------------------------------------------------------------- layer_norm


def norm_of_torch(x, weight, bias, eps=1e-5):
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def norm_by_var(x, weight, bias, eps=1e-5):
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return torch.addcmul(bias, (x - mean) / torch.sqrt(variance + eps), weight)


def norm_by_moments(x, weight, bias, eps=1e-5):
    mean = x.mean(-1)[..., None]
    return weight * ((x - mean) / ((x - mean).square().mean(-1)[..., None] + eps) ** 0.5) + bias


def norm_ignores_eps(x, weight, bias, eps=1e-5):
    return layer_norm(x, weight, bias, 1e-5)


def norm_without_eps(x, weight, bias, eps=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    return centred / centred.square().mean(-1, keepdim=True).sqrt() * weight + bias


def norm_in_place(x, weight, bias, eps=1e-5):
    x.data -= x.data.mean(-1, keepdim=True)
    return layer_norm(x, weight, bias, eps)


def norm_statistics_detached(x, weight, bias, eps=1e-5):
    mean, variance = x.mean(-1, keepdim=True).detach(), x.var(-1, keepdim=True, correction=0).detach()
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias


def norm_mean_dropped_axis(x, weight, bias, eps=1e-5):
    return (x - x.mean(-1)) / torch.sqrt(x.var(-1, correction=0) + eps) * weight + bias


# ---------------------------------------------------------------- rms_norm


def rms_of_torch(x, weight, eps=1e-6):
    return F.rms_norm(x, x.shape[-1:], weight, eps)


def rms_by_norm(x, weight, eps=1e-6):
    squares = (
        torch.linalg.vector_norm(x, dim=-1, keepdim=True).square()
        if not x.requires_grad
        else x.pow(2).sum(-1)[..., None]
    )
    return weight * (x / (squares / x.shape[-1] + eps).sqrt())


def rms_in_float32(x, weight, eps=1e-6):
    x32 = x.float()
    return (x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype) * weight


def rms_fixed_eps(x, weight, eps=1e-6):
    return F.rms_norm(x, x.shape[-1:], weight, 1e-6)


def rms_over_positions(x, weight, eps=1e-6):
    return x * torch.rsqrt((x**2).mean(dim=-2, keepdim=True) + eps) * weight


def rms_without_eps(x, weight, eps=1e-6):
    return x / (x**2).mean(-1, keepdim=True).sqrt() * weight


# ---------------------------------------------------------------- FeedForward


class NetworkStepByStep(FeedForward):
    def forward(self, x):
        hidden = self.up(x)
        hidden = self.activation(hidden)
        return self.down(hidden)


class NetworkByMatrices(FeedForward):
    def forward(self, x):
        hidden = self.activation(x @ self.up.weight.T + self.up.bias)
        return hidden @ self.down.weight.T + self.down.bias


class NetworkBiasForgotten(FeedForward):
    def forward(self, x):
        return self.activation(x @ self.up.weight.T) @ self.down.weight.T


class NetworkUpOnly(FeedForward):
    def forward(self, x):
        return self.activation(self.up(x))


class NetworkRenamed(nn.Module):
    def __init__(self, D, hidden, activation=torch.relu):
        super().__init__()
        self.first, self.second, self.activation = nn.Linear(D, hidden), nn.Linear(hidden, D), activation

    def forward(self, x):
        return self.second(self.activation(self.first(x)))


class NetworkUnderNoGrad(FeedForward):
    @torch.no_grad()
    def forward(self, x):
        return self.down(self.activation(self.up(x)))


# ---------------------------------------------------------------- SwiGLU


class GateByHand(SwiGLU):
    def forward(self, x):
        gate = self.gate(x)
        return self.down(gate * torch.sigmoid(gate) * self.up(x))


class GateByEinsum(SwiGLU):
    def forward(self, x):
        hidden = F.silu(torch.einsum("...d,fd->...f", x, self.gate.weight)) * (x @ self.up.weight.mT)
        return hidden @ self.down.weight.mT


class GateOverflows(SwiGLU):
    def forward(self, x):
        gate = self.gate(x)
        return self.down(gate * gate.exp() / (1 + gate.exp()) * self.up(x))


class GateGELU(SwiGLU):
    def forward(self, x):
        return self.down(F.gelu(self.gate(x)) * self.up(x))


class GateDetached(SwiGLU):
    def forward(self, x):
        return self.down(F.silu(self.gate(x)).detach() * self.up(x))


class GateTwice(SwiGLU):
    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * F.silu(self.up(x)))


# ---------------------------------------------------------------- post_norm, pre_norm


def post_in_two_lines(x, sublayer, norm):
    total = torch.add(sublayer(x), x)
    return norm(total)


def post_with_names(x, sublayer, norm):
    return norm.__call__(x.clone() + sublayer(x))


def post_in_place(x, sublayer, norm):
    x.data += sublayer(x).data
    return norm(x)


def post_called_twice(x, sublayer, norm):
    sublayer(x)
    return norm(x + sublayer(x))


def post_subtracted(x, sublayer, norm):
    return norm(x - sublayer(x))


def post_sublayer_detached(x, sublayer, norm):
    return norm(x + sublayer(x).detach())


def post_half(x, sublayer, norm):
    return norm((x + sublayer(x)) / math.sqrt(2)) * 1.01


def pre_in_two_lines(x, sublayer, norm):
    read = norm(x)
    return torch.add(x, sublayer(read))


def pre_added_last(x, sublayer, norm):
    return sublayer(norm(x)).add(x)


def pre_in_place(x, sublayer, norm):
    x.data += sublayer(norm(x)).data
    return x


def pre_called_twice(x, sublayer, norm):
    return x + (sublayer(norm(x)) + sublayer(norm(x))) / 2


def pre_normed_twice(x, sublayer, norm):
    return x + sublayer(norm(norm(x)))


def pre_path_detached(x, sublayer, norm):
    return x.detach() + sublayer(norm(x))


# ---------------------------------------------------------------- EncoderLayer


class EncoderByFunctions(EncoderLayer):
    def forward(self, x, mask=None):
        def attend(x):
            output, _ = self.attention(x, mask=mask)
            return self.dropout(output)

        def think(x):
            return self.dropout(self.feed_forward(x))

        return self.connect(self.connect(x, attend, self.norm_1), think, self.norm_2)


class EncoderWithContext(EncoderLayer):
    def forward(self, x, mask=None):
        x = self.connect(x, lambda y: self.dropout(self.attention(y, y, mask)[0]), self.norm_1)
        return self.connect(x, nn.Sequential(self.feed_forward, self.dropout), self.norm_2)


class EncoderWithWeights(EncoderLayer):
    def forward(self, x, mask=None):
        return super().forward(x, mask), self.attention(x, mask=mask)[1]


class EncoderLooksAtOldX(EncoderLayer):
    def forward(self, x, mask=None):
        x0 = x
        x = self.connect(x, lambda x: self.dropout(self.attention(x, x0, mask)[0]), self.norm_1)
        return self.connect(x, lambda x: self.dropout(self.feed_forward(x)), self.norm_2)


class EncoderTupleKept(EncoderLayer):
    def forward(self, x, mask=None):
        x = self.connect(x, lambda x: self.dropout(self.attention(x, mask=mask)), self.norm_1)
        return self.connect(x, lambda x: self.dropout(self.feed_forward(x)), self.norm_2)


class EncoderMaskAsContext(EncoderLayer):
    def forward(self, x, mask=None):
        x = self.connect(x, lambda x: self.dropout(self.attention(x, mask)[0]), self.norm_1)
        return self.connect(x, lambda x: self.dropout(self.feed_forward(x)), self.norm_2)


class EncoderHalf(EncoderLayer):
    def forward(self, x, mask=None):
        return self.connect(x, lambda x: self.dropout(self.attention(x, mask=mask)[0]), self.norm_1)


# ---------------------------------------------------------------- DecoderLayer


class DecoderByFunctions(DecoderLayer):
    def forward(self, x, memory, mask=None, memory_mask=None):
        def look_back(x):
            return self.dropout(self.self_attention(x, x, mask)[0])

        def look_across(x):
            return self.dropout(self.cross_attention(x, context=memory, mask=memory_mask)[0])

        x = self.connect(x, look_back, self.norm_1)
        x = self.connect(x, look_across, self.norm_2)
        return self.connect(x, lambda x: self.dropout(self.feed_forward(x)), self.norm_3)


class DecoderByList(DecoderLayer):
    def forward(self, x, memory, mask=None, memory_mask=None):
        steps = [
            (lambda x: self.self_attention(x, mask=mask)[0], self.norm_1),
            (lambda x: self.cross_attention(x, memory, memory_mask)[0], self.norm_2),
            (self.feed_forward, self.norm_3),
        ]
        for step, norm in steps:
            x = self.connect(x, lambda x, step=step: self.dropout(step(x)), norm)
        return x


class DecoderMasksSwapped(DecoderLayer):
    def forward(self, x, memory, mask=None, memory_mask=None):
        return super().forward(x, memory, memory_mask, mask)


class DecoderMemoryNormed(DecoderLayer):
    def forward(self, x, memory, mask=None, memory_mask=None):
        return super().forward(x, self.norm_2(memory), mask, memory_mask)


class DecoderMemoryDetached(DecoderLayer):
    def forward(self, x, memory, mask=None, memory_mask=None):
        return super().forward(x, memory.detach(), mask, memory_mask)


class DecoderCausalInside(DecoderLayer):
    def forward(self, x, memory, mask=None, memory_mask=None):
        return super().forward(x, memory, causal_mask(x.shape[1], device=x.device), memory_mask)


class DecoderSelfAgain(DecoderLayer):
    def forward(self, x, memory, mask=None, memory_mask=None):
        x = self.connect(x, lambda x: self.dropout(self.cross_attention(x, mask=mask)[0]), self.norm_1)
        x = self.connect(x, lambda x: self.dropout(self.self_attention(x, memory, memory_mask)[0]), self.norm_2)
        return self.connect(x, lambda x: self.dropout(self.feed_forward(x)), self.norm_3)


# ---------------------------------------------------------------- Transformer


class ModelLayerByLayer(Transformer):
    def decode(self, target, memory, memory_mask):
        T = target.shape[1]
        x = self.embedding(target)
        for layer in self.decoder.layers:
            x = layer(x, memory, torch.ones(T, T, dtype=torch.bool, device=x.device).tril(), memory_mask)
        return self.decoder.norm(x) @ self.embedding.weight.T


class ModelWithLinear(Transformer):
    def decode(self, target, memory, memory_mask):
        mask = causal_mask(target.shape[-1], device=target.device)[None, None]
        return F.linear(self.decoder(self.embedding(target), memory, mask, memory_mask), self.embedding.weight)


class ModelMasksSwapped(Transformer):
    def decode(self, target, memory, memory_mask):
        mask = causal_mask(target.shape[1], device=target.device)
        return self.embedding.logits(self.decoder(self.embedding(target), memory, memory_mask, mask))


class ModelEncodesAgain(Transformer):
    def decode(self, target, memory, memory_mask):
        return super().decode(target, self.encoder(memory, memory_mask), memory_mask)


class ModelScaledLogits(Transformer):
    def decode(self, target, memory, memory_mask):
        return super().decode(target, memory, memory_mask) / math.sqrt(memory.shape[-1])


class ModelGreedy(Transformer):
    def decode(self, target, memory, memory_mask):
        return super().decode(target, memory, memory_mask).argmax(-1)


class ModelMaskOnCPU(Transformer):
    def decode(self, target, memory, memory_mask):
        mask = causal_mask(target.shape[1], device="cpu")
        return self.embedding.logits(self.decoder(self.embedding(target), memory, mask, memory_mask))


class ModelOfOtherSize(Transformer):
    def __init__(self, config):
        super().__init__(TransformerConfig(V=config.V, D=config.D, H=config.H, L=1, hidden=config.hidden))


RIGHT = {
    "layer_norm": [("torch's own", norm_of_torch), ("var_mean", norm_by_var), ("a power", norm_by_moments)],
    "rms_norm": [("torch's own", rms_of_torch), ("a norm", rms_by_norm)],
    "FeedForward": [NetworkStepByStep, ("matrices", NetworkByMatrices)],
    "SwiGLU": [("by hand", GateByHand), ("einsum", GateByEinsum)],
    "post_norm": [("two lines", post_in_two_lines), ("a copy", post_with_names)],
    "pre_norm": [("two lines", pre_in_two_lines), ("added last", pre_added_last)],
    "EncoderLayer": [("functions", EncoderByFunctions), ("x twice", EncoderWithContext)],
    "DecoderLayer": [("functions", DecoderByFunctions), ("a list", DecoderByList)],
    "Transformer": [("layer by layer", ModelLayerByLayer), ("F.linear", ModelWithLinear)],
}

WRONG = {
    "layer_norm": [
        ("eps ignored", norm_ignores_eps, "eps = 0.1"),
        ("no eps", norm_without_eps, "expected"),
        ("in place", norm_in_place, "changed its argument 1"),
        ("statistics detached", norm_statistics_detached, "gradient"),
        ("axis lost", norm_mean_dropped_axis, "shapes do not fit together"),
    ],
    "rms_norm": [
        ("eps ignored", rms_fixed_eps, "eps = 0.1"),
        ("over positions", rms_over_positions, "the result[0, 0]: expected"),
        ("no eps", rms_without_eps, "eps = 0.1"),
        ("always float32", rms_in_float32, "fewer digits"),
    ],
    "FeedForward": [
        ("no bias", NetworkBiasForgotten, "the first difference"),
        ("one layer", NetworkUpOnly, "wrong shape"),
        ("renamed", NetworkRenamed, "Keep `__init__` as it was given"),
        ("no gradient", NetworkUnderNoGrad, "gradient"),
    ],
    "SwiGLU": [
        ("overflow", GateOverflows, "overflow"),
        ("GELU", GateGELU, "the first difference"),
        ("detached", GateDetached, "gradient"),
        ("two gates", GateTwice, "the first difference"),
    ],
    "post_norm": [
        ("in place", post_in_place, "in place"),
        ("called twice", post_called_twice, "counts its calls"),
        ("subtracted", post_subtracted, "the first difference"),
        ("detached", post_sublayer_detached, "gradient"),
        ("scaled", post_half, "1.01"),
    ],
    "pre_norm": [
        ("in place", pre_in_place, "in place"),
        ("called twice", pre_called_twice, "counts its calls"),
        ("normed twice", pre_normed_twice, "the first difference"),
        ("detached", pre_path_detached, "gradient"),
    ],
    "EncoderLayer": [
        ("weights too", EncoderWithWeights, "expected a float32 tensor"),
        ("old keys", EncoderLooksAtOldX, "connect = pre_norm"),
        ("tuple kept", EncoderTupleKept, "raised"),
        ("mask as context", EncoderMaskAsContext, "a padded sentence"),
        ("half", EncoderHalf, "the first difference"),
    ],
    "DecoderLayer": [
        ("masks swapped", DecoderMasksSwapped, "a causal mask"),
        ("memory normed", DecoderMemoryNormed, "the first difference"),
        ("memory detached", DecoderMemoryDetached, "gradient"),
        ("always causal", DecoderCausalInside, "the first difference"),
        ("attentions swapped", DecoderSelfAgain, "the first difference"),
    ],
    "Transformer": [
        ("masks swapped", ModelMasksSwapped, "raised"),
        ("encoded again", ModelEncodesAgain, "the first difference"),
        ("scaled logits", ModelScaledLogits, "times what it should be"),
        ("greedy", ModelGreedy, "wrong shape"),
        ("mask on the CPU", ModelMaskOnCPU, "device"),
        ("one layer", ModelOfOtherSize, "Keep `__init__` as it was given"),
    ],
}
