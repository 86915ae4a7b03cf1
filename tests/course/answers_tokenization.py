"""Lab 06: right answers that differ from the reference, and wrong ones that are not among the named mistakes."""

import re
from collections import Counter, defaultdict
from itertools import groupby, pairwise

import numpy as np
import torch
from torch import nn

from lablib.tokens.bpe import count_pairs, decode_tokens, encode_word, merge_pair, train_merges
from lablib.tokens.bpe_indexed import WordEncoder
from lablib.tokens.bpe_indexed import train_merges as train_indexed
from lablib.tokens.embeddings import nearest_neighbours
from lablib.tokens.pretokens import BYTES, byte_ids

# ---------------------------------------------------------------- count_pairs


def count_with_counter(words):
    counts = Counter()
    for word, times in words.items():
        for pair in pairwise(word):
            counts[pair] += times
    return counts


def count_with_defaultdict(words):
    counts = defaultdict(int)
    for word in words:
        for i in range(len(word) - 1):
            counts[(word[i], word[i + 1])] += words[word]
    return counts


def count_by_repeating(words):
    pairs = [pair for word, times in words.items() for pair in pairwise(word) for _ in range(times)]
    return dict(Counter(pairs))


def count_squared(words):
    return {pair: times * times for pair, times in count_pairs(words).items()}


def count_as_list(words):
    return list(count_pairs(words).items())


def count_of_triples(words):
    counts = Counter()
    for word, times in words.items():
        for triple in zip(word, word[1:], word[2:], strict=False):
            counts[triple] += times
    return counts


def count_single_tokens(words):
    counts = Counter()
    for word, times in words.items():
        for token in word:
            counts[token] += times
    return counts


def count_without_ones(words):
    return {pair: times for pair, times in count_pairs(words).items() if times > 1}


def count_empties_words(words):
    counts = count_pairs(words)
    words.clear()
    return counts


# ---------------------------------------------------------------- merge_pair


def merge_with_iterator(ids, pair, new):
    merged, skip = [], False
    for i, token in enumerate(ids):
        if skip:
            skip = False
        elif i + 1 < len(ids) and (token, ids[i + 1]) == pair:
            merged.append(new)
            skip = True
        else:
            merged.append(token)
    return merged


def merge_on_a_copy(ids, pair, new):
    ids, i = list(ids), 0
    while i < len(ids) - 1:
        if (ids[i], ids[i + 1]) == pair:
            ids[i : i + 2] = [new]
        i += 1
    return ids


def merge_by_text(ids, pair, new):
    text = re.sub(f"<{pair[0]}><{pair[1]}>", f"<{new}>", "".join(f"<{token}>" for token in ids))
    return [int(token) for token in re.findall(r"\d+", text)]


def merge_as_tuple(ids, pair, new):
    return tuple(merge_pair(ids, pair, new))


def merge_every_second(ids, pair, new):
    merged = []
    for i in range(0, len(ids), 2):
        merged += [new] if tuple(ids[i : i + 2]) == pair else ids[i : i + 2]
    return merged


def merge_keeps_left(ids, pair, new):
    merged, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == pair:
            merged += [ids[i], new]
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def merge_runs_whole(ids, pair, new):
    merged = merge_pair(ids, pair, new)
    return [token for token, _ in groupby(merged)]


def merge_nothing(ids, pair, new):
    return list(ids)


def merge_to_256(ids, pair, new):
    return merge_pair(ids, pair, 256)


# ---------------------------------------------------------------- train_merges


def train_with_sorted(words, merges):
    words, learned = dict(words), []
    for step in range(merges):
        counts = count_with_counter(words)
        if not counts:
            break
        best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[0][0]
        learned.append(best)
        words = {tuple(merge_with_iterator(word, best, 256 + step)): n for word, n in words.items()}
    return learned


def train_by_the_index(words, merges):
    return train_indexed(words, merges)


def train_with_max_and_negated_pair(words, merges):
    learned = []
    while len(learned) < merges:
        counts = count_pairs(words)
        if not counts:
            return learned
        best = max(counts, key=lambda pair: (counts[pair], -pair[0], -pair[1]))
        words = {tuple(merge_pair(word, best, 256 + len(learned))): times for word, times in words.items()}
        learned.append(best)
    return learned


def train_as_dict(words, merges):
    return {pair: 256 + i for i, pair in enumerate(train_merges(words, merges))}


def train_one_less(words, merges):
    return train_merges(words, max(0, merges - 1))


def train_one_more(words, merges):
    return train_merges(words, merges + 1)


def train_ties_by_right(words, merges):
    learned = []
    while len(learned) < merges and (counts := count_pairs(words)):
        best = min(counts, key=lambda pair: (-counts[pair], pair[::-1]))
        words = {tuple(merge_pair(word, best, 256 + len(learned))): times for word, times in words.items()}
        learned.append(best)
    return learned


def train_backwards(words, merges):
    return train_merges(words, merges)[::-1]


def train_with_counts(words, merges):
    return [(pair, 0) for pair in train_merges(words, merges)]


def train_pads_with_none(words, merges):
    learned = train_merges(words, merges)
    return learned + [None] * (merges - len(learned))


def train_changes_words(words, merges):
    learned = train_merges(words, merges)
    for word in list(words):
        words[(*word, 0)] = words.pop(word)
    return learned


# ---------------------------------------------------------------- encode_word


def encode_by_rank(data, merges):
    ids, ranks = byte_ids(data), {pair: i for i, pair in reversed(list(enumerate(merges)))}
    while len(ids) > 1:
        pair = min(pairwise(ids), key=lambda pair: ranks.get(pair, len(merges)))
        if pair not in ranks:
            break
        ids = merge_pair(ids, pair, 256 + ranks[pair])
    return ids


def encode_with_the_heap(data, merges):
    return list(WordEncoder.from_merges(merges)(data))


def encode_with_counter_of_new(data, merges):
    ids, new = [BYTES.index(bytes([byte])) for byte in data], 256
    for pair in merges:
        ids = merge_on_a_copy(ids, pair, new)
        new += 1
    return tuple(ids)


def encode_first_merge_only(data, merges):
    ids = byte_ids(data)
    return merge_pair(ids, merges[0], 256) if merges else ids


def encode_as_bytes(data, merges):
    return [bytes([byte]) for byte in data]


def encode_with_end_mark(data, merges):
    return [*encode_word(data, merges), 0]


def encode_until_nothing_is_left(data, merges):
    while len(data) > 1:
        data = data[1:]
    return byte_ids(data)


def encode_once_each(data, merges):
    return list(dict.fromkeys(encode_word(data, merges)))


def encode_reversed_word(data, merges):
    return encode_word(data[::-1], merges)


def encode_letters_of_the_text(data, merges):
    ids = [number for letter in data.decode("utf-8", "ignore") for number in byte_ids(letter.encode())]
    for i, pair in enumerate(merges):
        ids = merge_pair(ids, pair, 256 + i)
    return ids


def encode_latin_text(data, merges):
    return encode_word(data.decode("latin-1").encode(), merges)


def encode_case_blind(data, merges):
    return encode_word(bytes(byte + 32 if 65 <= byte <= 90 else byte for byte in data), merges)


def encode_while_it_helps(data, merges):
    ids, i = byte_ids(data), 0
    while i < len(merges) and merges[i] in pairwise(ids):
        ids = merge_pair(ids, merges[i], 256 + i)
        i += 1
    return ids


# ---------------------------------------------------------------- decode_tokens


def decode_recursively(ids, merges):
    def spell(token):
        if not 0 <= token < 256 + len(merges):
            raise ValueError(f"no token {token}")
        if token < 256:
            return BYTES[token]
        left, right = merges[token - 256]
        return spell(left) + spell(right)

    return b"".join(map(spell, ids))


def decode_into_a_bytearray(ids, merges):
    table = dict(enumerate(BYTES))
    for i, (left, right) in enumerate(merges):
        table[256 + i] = table[left] + table[right]
    out = bytearray()
    for token in ids:
        if token not in table:
            raise ValueError(f"unknown token: {token}")
        out += table[token]
    return out


def decode_by_unmerging(ids, merges):
    ids = list(ids)
    for token in ids:
        if token < 0 or token >= 256 + len(merges):
            raise ValueError(f"{token} is beyond {255 + len(merges)}")
    for i in range(len(merges) - 1, -1, -1):
        ids = [part for token in ids for part in (merges[i] if token == 256 + i else (token,))]
    return b"".join(BYTES[token] for token in ids)


def decode_key_error(ids, merges):
    table = dict(enumerate(BYTES)) | {256 + i: decode_tokens([256 + i], merges) for i in range(len(merges))}
    return b"".join(table[token] for token in ids)


def decode_wordless_error(ids, merges):
    if any(not 0 <= token < 256 + len(merges) for token in ids):
        raise ValueError("bad token")
    return decode_tokens(ids, merges)


def decode_with_spaces(ids, merges):
    return b" ".join(decode_tokens([token], merges) for token in ids)


def decode_question_mark(ids, merges):
    return b"".join(decode_tokens([t], merges) if 0 <= t < 256 + len(merges) else b"?" for t in ids)


def decode_as_list(ids, merges):
    return [decode_tokens([token], merges) for token in ids]


def decode_reversed(ids, merges):
    return decode_tokens(ids[::-1], merges)


def decode_printable(ids, merges):
    return repr(decode_tokens(ids, merges))


# ---------------------------------------------------------------- embed_tokens


def embed_by_product(ids, weight):
    return nn.functional.one_hot(ids, len(weight)).to(weight.dtype) @ weight


def embed_by_torch(ids, weight):
    return nn.functional.embedding(ids, weight)


def embed_by_index_select(ids, weight):
    return weight.index_select(0, ids.reshape(-1)).reshape(*ids.shape, weight.shape[1])


def embed_detached(ids, weight):
    return weight.data[ids]


def embed_by_numpy(ids, weight):
    return torch.tensor(np.asarray(weight.detach())[np.asarray(ids)])


def embed_with_padding(ids, weight):
    return nn.functional.embedding(ids, weight, padding_idx=0)


def embed_hides_row_0(ids, weight):
    rows = weight[ids]
    return torch.where((ids == 0)[..., None], rows.detach(), rows)


def embed_sum(ids, weight):
    return weight[ids].sum(0)


def embed_normalised(ids, weight):
    return nn.functional.normalize(weight[ids], dim=-1)


def embed_first_row(ids, weight):
    return weight[torch.zeros_like(ids)]


def embed_axes_swapped(ids, weight):
    return weight[ids.mT] if ids.dim() > 1 else weight[ids]


# ---------------------------------------------------------------- nearest_neighbours


def near_by_cosine_similarity(weight, token, k=5):
    if k < 1 or k > len(weight) - 1:
        raise ValueError(f"there are {len(weight) - 1} other tokens, not {k}")
    similarity = nn.functional.cosine_similarity(weight, weight[token][None], dim=-1)
    order = [i for i in similarity.argsort(descending=True, stable=True).tolist() if i != token][:k]
    return similarity[order], torch.tensor(order)


def near_by_loop(weight, token, k=5):
    if not 0 < k < weight.shape[0]:
        raise ValueError(f"k={k}")
    rows = []
    for other in range(len(weight)):
        lengths = weight[other].norm() * weight[token].norm()
        cosine = (weight[other] @ weight[token] / lengths).item() if lengths > 0 else 0.0
        if other != token:
            rows.append((-cosine, other))
    rows = sorted(rows)[:k]
    return torch.tensor([-c for c, _ in rows]), torch.tensor([other for _, other in rows])


def near_all_pairs(weight, token, k=5):
    if not 1 <= k <= len(weight) - 1:
        raise ValueError(f"k = {k} is not between 1 and {len(weight) - 1}")
    directions = weight / weight.norm(dim=1, keepdim=True).clamp(min=1e-12)
    table = directions @ directions.mT
    table.fill_diagonal_(-2)
    return tuple(table[token].topk(k))


def near_swapped(weight, token, k=5):
    return nearest_neighbours(weight, token, k)[::-1]


def near_one_too_many(weight, token, k=5):
    found = nearest_neighbours(weight, token, k)
    return torch.cat((torch.ones(1), found[0])), torch.cat((torch.tensor([token]), found[1]))


def near_drops_the_first(weight, token, k=5):
    if k < 1 or k >= len(weight):
        raise ValueError(f"k = {k}")
    similarity = nn.functional.cosine_similarity(weight, weight[token][None], dim=-1)
    values, numbers = similarity.topk(k + 1)
    return values[1:], numbers[1:]


def near_absolute(weight, token, k=5):
    if not 1 <= k < len(weight):
        raise ValueError(f"k = {k}")
    directions = nn.functional.normalize(weight, dim=-1)
    similarity = (directions @ directions[token]).abs()
    similarity[token] = -1
    return tuple(similarity.topk(k))


def near_changes_the_table(weight, token, k=5):
    found = nearest_neighbours(weight, token, k)
    weight[token] = 0
    return found


def near_squared(weight, token, k=5):
    values, numbers = nearest_neighbours(weight, token, k)
    return values.square(), numbers


def near_centred(weight, token, k=5):
    return nearest_neighbours(weight - weight.mean(0), token, k)


def near_numbers_only(weight, token, k=5):
    return nearest_neighbours(weight, token, k)[1]


RIGHT = {
    "count_pairs": [count_with_counter, count_with_defaultdict, count_by_repeating],
    "merge_pair": [merge_with_iterator, merge_on_a_copy, merge_by_text, merge_as_tuple],
    "train_merges": [train_with_sorted, train_by_the_index, train_with_max_and_negated_pair],
    "encode_word": [encode_by_rank, encode_with_the_heap, encode_with_counter_of_new],
    "decode_tokens": [decode_recursively, decode_into_a_bytearray, decode_by_unmerging],
    "embed_tokens": [embed_by_product, embed_by_torch, embed_by_index_select],
    "nearest_neighbours": [near_by_cosine_similarity, near_by_loop, near_all_pairs],
}
WRONG = {
    "count_pairs": [
        count_squared,
        count_as_list,
        count_of_triples,
        count_single_tokens,
        ("ones missing", count_without_ones, "(1, 2) is missing: expected 1 for it"),
        ("words emptied", count_empties_words, "changed its argument in place"),
    ],
    "merge_pair": [
        merge_every_second,
        ("left kept", merge_keeps_left, "At place 0: expected 9, got 1"),
        merge_runs_whole,
        merge_nothing,
        merge_to_256,
    ],
    "train_merges": [
        train_as_dict,
        train_one_less,
        train_one_more,
        train_ties_by_right,
        train_backwards,
        train_with_counts,
        ("padded", train_pads_with_none, "expected nothing, got None"),
        ("words changed", train_changes_words, "changed its argument in place"),
    ],
    "encode_word": [
        encode_first_merge_only,
        encode_as_bytes,
        encode_with_end_mark,
        encode_until_nothing_is_left,
        encode_once_each,
        encode_reversed_word,
        ("bad bytes lost", encode_letters_of_the_text, "went through text"),
        ("latin-1", encode_latin_text, "At place 0: expected"),
        ("case", encode_case_blind, "Capitals were made small"),
        ("stops", encode_while_it_helps, "no reason to stop"),
    ],
    "decode_tokens": [
        ("key error", decode_key_error, "expected a ValueError that names the token"),
        ("wordless", decode_wordless_error, "expected a ValueError that names the token"),
        decode_with_spaces,
        ("question mark", decode_question_mark, "expected a ValueError"),
        decode_as_list,
        decode_reversed,
        decode_printable,
    ],
    "embed_tokens": [
        ("detached", embed_detached, "no gradient reaches"),
        ("numpy", embed_by_numpy, "no gradient reaches"),
        ("padding", embed_with_padding, "padding_idx"),
        ("row 0 hidden", embed_hides_row_0, "row 0 of the table gets no gradient"),
        embed_sum,
        embed_normalised,
        embed_first_row,
        embed_axes_swapped,
    ],
    "nearest_neighbours": [
        near_swapped,
        near_one_too_many,
        ("first dropped", near_drops_the_first, "The first of k + 1 was dropped"),
        near_absolute,
        ("table changed", near_changes_the_table, "in place"),
        near_squared,
        near_centred,
        near_numbers_only,
    ],
}
