"""Lab 07, in-context learning: right answers that differ from the reference, and wrong ones that are not among the named mistakes."""

import torch
from torch.nn import functional as F

from lablib.pretraining.in_context import copying_gain, surprise


def gain_by_hand(model, rows, others):
    B, T = rows.shape
    gains = []
    for b in range(B):
        nats = []
        for before in (others, rows):
            ids = torch.cat((before[b], rows[b]))[None]
            logits = model(ids)[0]
            nats.append(torch.stack([-logits[t].log_softmax(-1)[ids[0, t + 1]] for t in range(T, 2 * T - 1)]))
        gains.append((nats[0] - nats[1]).sum() / (T - 1))
    return torch.stack(gains)


def gain_in_one_pass(model, rows, others):
    both = torch.cat((torch.cat((rows, rows), 1), torch.cat((others, rows), 1)))
    logits = model(both)[:, rows.shape[1] : -1]
    nats = F.cross_entropy(logits.flatten(0, 1), both[:, rows.shape[1] + 1 :].flatten(), reduction="none")
    again, fresh = nats.view(2, len(rows), -1).mean(-1)
    return fresh - again


def gain_as_share(model, rows, others):
    fresh = surprise(model, torch.cat((others, rows), 1))[:, rows.shape[1] :].mean(1)
    return copying_gain(model, rows, others) / fresh


def gain_without_control(model, rows, others):
    return -surprise(model, torch.cat((rows, rows), 1))[:, rows.shape[1] :].mean(1)


def gain_in_bits(model, rows, others):
    return copying_gain(model, rows, others) / torch.log(torch.tensor(2.0))


def gain_between_rows(model, rows, others):
    return copying_gain(model, rows, rows.roll(1, 0))


def gain_read_three_times(model, rows, others):
    T = rows.shape[1]
    again = surprise(model, torch.cat((rows, rows, rows), 1))[:, 2 * T :]
    fresh = surprise(model, torch.cat((others, others, rows), 1))[:, 2 * T :]
    return (fresh - again).mean(1)


def gain_of_median(model, rows, others):
    T = rows.shape[1]
    again, fresh = (surprise(model, torch.cat((before, rows), 1))[:, T:] for before in (rows, others))
    return (fresh - again).median(1).values


def gain_never_negative(model, rows, others):
    return copying_gain(model, rows, others).clamp(min=0)


RIGHT = {"copying_gain": [gain_by_hand, gain_in_one_pass]}
WRONG = {
    "copying_gain": [
        gain_as_share,
        gain_without_control,
        gain_in_bits,
        gain_between_rows,
        gain_read_three_times,
        gain_of_median,
        gain_never_negative,
    ]
}
