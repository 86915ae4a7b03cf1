"""What is said of a finished run: how good the model is, how fast it learned, what of the hardware was used, and what it cost.

Utilisation and speed are over the steps alone; the cost is over everything, from the first line of text to this report. What a run
did after its last checkpoint before it was cut off is not in the figures, since it was done again.
"""

import platform
import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lablib.architecture.decoder import Decoder
from lablib.architecture.llama_format import save_llama
from lablib.pretraining import compressors, flops, hardware
from lablib.pretraining.checkpoint import latest
from lablib.pretraining.generation import generate
from lablib.pretraining.loss import evaluate
from lablib.pretraining.real_plan import Run
from lablib.pretraining.real_texts import END, Texts
from lablib.pretraining.record import read_jsonl
from lablib.pretraining.sampling import Sampling

SAMPLES, LONGEST, TEMPERATURE = 3, 200, 0.8  # texts to write, tokens of each, and how bold


def figures_of(run: Run, record: Path, price: float | None) -> dict[str, Any]:
    """All figures of a run, from its last checkpoint and the record of its steps; the model is saved for `transformers`.

    Args:
        run: its model gets the last checkpoint's weights. record: its `steps.jsonl`. price: of an hour.

    Raises:
        ValueError: the run is not finished.
    """
    start, found = time.monotonic(), latest(run.folder)
    model, recipe, texts, config = run.model, run.recipe, run.texts, run.config
    if found is None or found.step < recipe.steps:
        done = 0 if found is None else found.step
        raise ValueError(
            f"folder = {str(run.folder)!r} has a run at step {done:,} of {recipe.steps:,}: expected a finished one; "
            "take all of its steps first"
        )
    model.load_state_dict(found.weights)
    save_llama(model, run.folder / "model", bos=texts.tokenizer.special[END])
    texts.tokenizer.save(run.folder / "model" / "tokenizer.json")
    seen = evaluate(model, texts.held_out, recipe.context, dtype=recipe.dtype)
    held_out = texts.tokenizer.decode_bytes(texts.held_out.tokens.tolist(), skip_special=True)
    written = samples(model, texts)
    steps = read_jsonl(record)
    trained = sum(step.seconds for step in steps)
    speed = statistics.median(step.tokens_per_second for step in steps)
    needed = flops.per_token(config, recipe.context)
    finished = time.monotonic() - start
    gpu = next(model.parameters()).device.type == "cuda"
    return {
        "hardware": run.device,
        "dtype": recipe.dtype,
        "compiled": recipe.compile,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "source": texts.state.source,
        "text_ended": texts.state.ended,
        "documents": texts.state.documents,
        "text_bytes": sum(shard.text_bytes or 0 for shard in texts.train),
        "text_tokens": texts.tokens,
        "V": config.V,
        "parameters": config.parameters,
        "model": asdict(config),
        "recipe": asdict(recipe),
        "tokens": found.tokens,
        "epochs": found.tokens / texts.tokens,
        "training_loss": statistics.mean(step.loss for step in steps[-max(1, len(steps) // 50) :]),
        "held_out_nats_per_token": seen.nats_per_token,
        "held_out_bits_per_byte": seen.bits_per_byte,
        "held_out_tokens": seen.tokens,
        "held_out_bytes": texts.held_out.text_bytes,
        "compressed_bits_per_byte": {
            name: compressors.bits_per_byte(compress, held_out) for name, compress in compressors.COMPRESSORS.items()
        },
        "tokens_per_second": speed,
        "flops_per_token": needed,
        "peak_flops_per_second": run.peak,
        "mfu": None if run.peak is None else needed * speed / run.peak,
        "gpu_memory_bytes": torch.cuda.max_memory_allocated() if gpu else None,
        "seconds": {"prepared": run.prepared, "trained": trained, "finished": finished},
        "price_per_hour": price,
        "cost": hardware.cost(run.prepared + trained + finished, price),
        "samples": written,
    }


def samples(model: Decoder, texts: Texts, seed: int = 0) -> list[str]:
    """A few texts that the model writes from nothing."""
    end, chance = texts.tokenizer.special[END], torch.Generator().manual_seed(seed)
    model.eval()
    longest = min(LONGEST, model.config.context - 1)
    written = generate(model, [[end]] * SAMPLES, longest, Sampling(temperature=TEMPERATURE), chance, [end])
    return [texts.tokenizer.decode(row, skip_special=True) for row in written.rows]
