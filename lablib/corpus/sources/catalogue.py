"""The public sources that language models were made from: what each is, where it lies, how much it holds, what its rows are.

A figure stands here only with the page or paper that it is from.
"""

from dataclasses import dataclass, field
from typing import Literal

Format = Literal["WET", "WARC", "json.gz", "jsonl.zst", "jsonl", "jsonl.gz", "parquet"]
HUB = "huggingface.co"
CRAWL = "data.commoncrawl.org"


@dataclass(frozen=True)
class Source:
    """One source.

    Attributes:
        name: what a lab calls it.
        what: in a sentence.
        paper: where it is described.
        card: the page with its licence and columns.
        licence: of the collection; the texts in it stay their authors'.
        size, size_from: how much it is, and where that stands.
        one_file: roughly what reading the first file to its end transfers.
        used, used_from: a model that was made from it, and where that stands.
        host: who must be reached.
        place: owner and name on the hub, or the name of a crawl.
        files: the split's name -> pattern of its files in that place, the usual split first.
        format: of a file.
        columns: that each row has. Common Crawl: the headers of a record that are read.
        kind: the `Document.kind` of its texts.
        gives: what a row becomes.
    """

    name: str
    what: str
    paper: str
    card: str
    licence: str
    size: str
    size_from: str
    one_file: str
    used: str
    used_from: str
    host: str
    place: str
    files: dict[str, str]
    format: Format
    columns: tuple[str, ...]
    kind: str = "web page"
    gives: Literal["documents", "examples", "pairs"] = "documents"
    optional: tuple[str, ...] = field(default=())

    def pattern(self, split: str | None = None) -> str:
        """The files of one split; of the usual one if None.

        Raises:
            ValueError: there is no such split; lists those that are.
        """
        name = next(iter(self.files)) if split is None else split
        if name not in self.files:
            known = ", ".join(map(repr, self.files))
            raise ValueError(f"split = {split!r} of the source {self.name!r}: expected one of {known}")
        return self.files[name]


_CC_HEADERS = ("WARC-Target-URI", "WARC-Date", "WARC-Record-ID", "WARC-Identified-Content-Language")

SOURCES = (
    Source(
        name="common-crawl",
        what="The plain text (WET) of the pages that Common Crawl fetched, everything that is on them",
        paper="https://commoncrawl.org/blog/navigating-the-warc-file-format",
        card="https://commoncrawl.org/get-started",
        licence="Common Crawl terms of use",
        size="one crawl, CC-MAIN-2016-40: 1.72 billion pages, 4.54 TiB in 30,374 files",
        size_from="https://commoncrawl.org/2016/10/september-2016-crawl-archive-now-available/",
        one_file="90 MB",
        used="GPT-3: 60 % of what it read, after filtering",
        used_from="arXiv 2005.14165, table 2.2",
        host=CRAWL,
        place="CC-MAIN-2024-51",
        files={"train": "wet.paths.gz"},
        format="WET",
        columns=_CC_HEADERS[:3],
        optional=_CC_HEADERS[3:],
    ),
    Source(
        name="common-crawl-warc",
        what="The same pages as the servers sent them (WARC), HTML and all",
        paper="https://commoncrawl.org/blog/navigating-the-warc-file-format",
        card="https://commoncrawl.org/get-started",
        licence="Common Crawl terms of use",
        size="one crawl, CC-MAIN-2016-40: 28.94 TiB in 30,374 files",
        size_from="https://commoncrawl.org/2016/10/september-2016-crawl-archive-now-available/",
        one_file="1 GB",
        used="RefinedWeb, which takes the text out of the HTML anew",
        used_from="arXiv 2306.01116, section 3.1",
        host=CRAWL,
        place="CC-MAIN-2024-51",
        files={"train": "warc.paths.gz"},
        format="WARC",
        columns=_CC_HEADERS[:3],
    ),
    Source(
        name="c4",
        what="English pages of one crawl (April 2019), cleaned by rules: the Colossal Clean Crawled Corpus",
        paper="arXiv 1910.10683",
        card="https://huggingface.co/datasets/allenai/c4",
        licence="ODC-BY",
        size="about 750 GB by its paper; here 364,868,892 pages (the variant en), packed 305 GiB (327 GB)",
        size_from="https://huggingface.co/datasets/legacy-datasets/c4",
        one_file="320 MB",
        used="T5; LLaMA: 15 % of what it read",
        used_from="arXiv 1910.10683; 2302.13971, table 1",
        host=HUB,
        place="allenai/c4",
        files={"train": "en/c4-train.*.json.gz", "validation": "en/c4-validation.*.json.gz"},
        format="json.gz",
        columns=("text", "timestamp", "url"),
    ),
    Source(
        name="the-pile",
        what="22 collections (papers, code, law, talk, books, web), of which this copy leaves out five under copyright",
        paper="arXiv 2101.00027",
        card="https://huggingface.co/datasets/monology/pile-uncopyrighted",
        licence="other: each part has its own",
        size="825 GiB (886 GB), with the parts that are left out here",
        size_from="arXiv 2101.00027",
        one_file="10 GB",
        used="GPT-NeoX-20B, Pythia",
        used_from="arXiv 2204.06745; 2304.01373",
        host=HUB,
        place="monology/pile-uncopyrighted",
        files={"train": "train/*.jsonl.zst", "validation": "val.jsonl.zst", "test": "test.jsonl.zst"},
        format="jsonl.zst",
        columns=("text", "meta"),
        kind="",
    ),
    Source(
        name="refinedweb",
        what="English pages of many crawls, strictly filtered and without copies: the web alone, said to be enough",
        paper="arXiv 2306.01116",
        card="https://huggingface.co/datasets/tiiuae/falcon-refinedweb",
        licence="ODC-BY 1.0",
        size="467 GB packed, 968,000,015 pages, 500 to 650 billion tokens (the public part)",
        size_from="https://huggingface.co/datasets/tiiuae/falcon-refinedweb",
        one_file="300 MB",
        used="Falcon",
        used_from="arXiv 2306.01116",
        host=HUB,
        place="tiiuae/falcon-refinedweb",
        files={"train": "data/train-*.parquet"},
        format="parquet",
        columns=("content", "url", "timestamp", "dump", "segment", "image_urls"),
    ),
    Source(
        name="fineweb-edu",
        what="Pages that a classifier takes for educational, out of the 96 crawls of FineWeb, 2013 to April 2024",
        paper="arXiv 2406.17557",
        card="https://huggingface.co/datasets/HuggingFaceFW/fineweb-edu",
        licence="ODC-BY",
        size="1.3 trillion tokens; here the sample of 10 billion",
        size_from="arXiv 2406.17557",
        one_file="2 GB",
        used="SmolLM2",
        used_from="arXiv 2502.02737",
        host=HUB,
        place="HuggingFaceFW/fineweb-edu",
        files={"train": "sample/10BT/*.parquet"},
        format="parquet",
        columns=(
            "text",
            "id",
            "dump",
            "url",
            "file_path",
            "language",
            "language_score",
            "token_count",
            "score",
            "int_score",
        ),
        optional=("date",),
    ),
    Source(
        name="tinystories",
        what="Short stories in the words of a small child, written by GPT-3.5 and GPT-4",
        paper="arXiv 2305.07759",
        card="https://huggingface.co/datasets/roneneldan/TinyStories",
        licence="CDLA-Sharing-1.0",
        size="1.92 GB of text",
        size_from="https://huggingface.co/datasets/roneneldan/TinyStories",
        one_file="250 MB",
        used="models below 10 million parameters that write whole stories",
        used_from="arXiv 2305.07759",
        host=HUB,
        place="roneneldan/TinyStories",
        files={"train": "data/train-*.parquet", "validation": "data/validation-*.parquet"},
        format="parquet",
        columns=("text",),
        kind="story",
    ),
    Source(
        name="wikipedia",
        what="The articles of the English Wikipedia of 1 November 2023, without markup and references",
        paper="https://dumps.wikimedia.org",
        card="https://huggingface.co/datasets/wikimedia/wikipedia",
        licence="CC-BY-SA-3.0 and GFDL",
        size="6,407,814 articles",
        size_from="https://huggingface.co/datasets/wikimedia/wikipedia",
        one_file="400 MB",
        used="GPT-3: 3 % of what it read; LLaMA: 4.5 %, in 20 languages",
        used_from="arXiv 2005.14165, table 2.2; 2302.13971, table 1",
        host=HUB,
        place="wikimedia/wikipedia",
        files={"train": "20231101.en/train-*.parquet"},
        format="parquet",
        columns=("id", "url", "title", "text"),
        kind="encyclopaedia",
    ),
    Source(
        name="dolly",
        what="Instructions of eight kinds and their answers, written by the employees of one company",
        paper="https://www.databricks.com/blog/2023/04/12/dolly-first-open-commercially-viable-instruction-tuned-llm",
        card="https://huggingface.co/datasets/databricks/databricks-dolly-15k",
        licence="CC-BY-SA-3.0",
        size="more than 15,000 examples",
        size_from="https://huggingface.co/datasets/databricks/databricks-dolly-15k",
        one_file="13 MB",
        used="Dolly 2.0",
        used_from="https://huggingface.co/datasets/databricks/databricks-dolly-15k",
        host=HUB,
        place="databricks/databricks-dolly-15k",
        files={"train": "databricks-dolly-15k.jsonl"},
        format="jsonl",
        columns=("instruction", "context", "response", "category"),
        gives="examples",
    ),
    Source(
        name="ultrafeedback",
        what="Prompts with a better and a worse answer of different models, scored by GPT-4 (the binarized version)",
        paper="arXiv 2310.01377",
        card="https://huggingface.co/datasets/HuggingFaceH4/ultrafeedback_binarized",
        licence="MIT",
        size="61,135 pairs, and 2,000 for testing",
        size_from="https://huggingface.co/datasets/HuggingFaceH4/ultrafeedback_binarized",
        one_file="230 MB",
        used="Zephyr 7B β, by DPO",
        used_from="arXiv 2310.16944",
        host=HUB,
        place="HuggingFaceH4/ultrafeedback_binarized",
        files={"train": "data/train_prefs-*.parquet", "test": "data/test_prefs-*.parquet"},
        format="parquet",
        columns=("prompt", "prompt_id", "chosen", "rejected", "messages", "score_chosen", "score_rejected"),
        gives="pairs",
    ),
    Source(
        name="hh-rlhf",
        what="Conversations with an assistant, each with the answer that people preferred and the one that they did not",
        paper="arXiv 2204.05862",
        card="https://huggingface.co/datasets/Anthropic/hh-rlhf",
        licence="MIT",
        size="160,800 pairs, and 8,552 for testing",
        size_from="https://huggingface.co/datasets/Anthropic/hh-rlhf",
        one_file="13 MB",
        used="the helpful and harmless assistants of its paper",
        used_from="arXiv 2204.05862",
        host=HUB,
        place="Anthropic/hh-rlhf",
        files={"train": "h*-*/train.jsonl.gz", "test": "h*-*/test.jsonl.gz"},
        format="jsonl.gz",
        columns=("chosen", "rejected"),
        gives="pairs",
    ),
)


def known(name: str) -> Source:
    """The source with this name.

    Raises:
        ValueError: there is none; lists those that are.

    >>> known("c4").format
    'json.gz'
    """
    for source in SOURCES:
        if source.name == name:
            return source
    names = ", ".join(repr(source.name) for source in SOURCES)
    raise ValueError(f"name = {name!r}: expected one of {names}")
