"""Writes fixtures/byte_pair.json: what the package tokenizers makes of some texts.

  python3 make_tokenizer_fixtures.py SmolLM2-135M-Instruct.Q4_1.gguf > fixtures/byte_pair.json

Needs the package tokenizers. The file is the one that examples/models/llama/fetch.sh names. A
small vocabulary is learned here from the texts, so that most of the test needs no download.
"""

import json
import struct
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXTS = [
    "",
    "a",
    " ",
    "Hello, world!",
    "The quick brown fox jumps over the lazy dog.",
    " leading space",
    "trailing space ",
    "two  spaces   three",
    "\ttab\nnewline\r\ncarriage\n\n\nblank lines\n",
    "a \n b\n  c",
    "12345",
    "1 23  4.56 -7e-8",
    "in 2024 I paid $1,234.50",
    "x2y3z",
    "don't I'll we've they're it's I'm he'd you'D IT'S",
    "' 's 't '' 'll",
    "\"quoted\" 'single'",
    "Café naïve Ångström Zürich",
    "Cafe\u0301 nai\u0308ve",
    "Привет, мир! Ёлка",
    "注意力机制是深度学习的核心",
    "これはテストです。",
    "안녕하세요 세계",
    "مرحبا بالعالم، كيف حالك؟",
    "ש\u05b8\u05c1לו\u05b9ם עו\u05b9ל\u05b8ם",
    "नमस\u094dत\u0947 द\u0941न\u093fय\u093e",
    "สว\u0e31สด\u0e35ชาวโลก",
    "I love pizza 🍕 and 👩\u200d👩\u200d👧\u200d👦 🇫🇷 ❤\ufe0f",
    "½ ² Ⅷ ٣٤٥ ① 五",
    "5 € + 3 £ ≈ 9 $ © ™ №",
    "en\u2002quad\u2003thin\u2009line\u2028para\u2029nbsp\xa0\xa0x ideographic\u3000end\x85nel",
    "zero\u200bwidth soft\xadhyphen \ufeffbom",
    "control\x07\x1b[0m\x00null\x7f \x04\x16",
    "def f(x):\n    return x**2  # square\n\n\nprint(f(3))",
    "https://example.org/a?b=c&d=%20e#f",
    "snake_case CamelCase kebab-case",
    "!!!??? ... --- ===",
    "antidisestablishmentarianism electroencephalographically",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "<|im_start|>user\nHi<|im_end|>\n",
    "a<|im_end|> b <|endoftext|><|im_start|>",
    "<|im_start <|im_end|",
    "𠀀𪚥 👨 \U000e0001",
    "ſs ǅ ǲ ﬁ ﷽",
    "tabs\t\tthen 1\t\t2",
    "   7   ",
]


class Header:
    """The values of a GGUF file."""

    NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def __init__(self, path):
        self.file = open(path, "rb")
        self.file.seek(16)
        count = self.number("Q")
        self.values = {}
        for _ in range(count):
            key = self.text()
            self.values[key] = self.value(self.number("I"))

    def number(self, form):
        return struct.unpack("<" + form, self.file.read(struct.calcsize("<" + form)))[0]

    def text(self):
        return self.file.read(self.number("Q")).decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            element, count = self.number("I"), self.number("Q")
            return [self.value(element) for _ in range(count)]
        return self.number(self.NUMBERS[kind])


def split():
    digits = pre_tokenizers.Digits(individual_digits=True)
    return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])


def tokenizer(tokens, merges, special):
    made = Tokenizer(models.BPE({token: n for n, token in enumerate(tokens)}, merges))
    made.pre_tokenizer = split()
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(special)
    return made


def learn(special):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = split()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator(TEXTS * 2, trainers.BpeTrainer(
        vocab_size=420, special_tokens=special, initial_alphabet=alphabet, show_progress=False))
    model = json.loads(made.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    return tokens, merges


def main():
    values = Header(sys.argv[1]).values
    all_tokens = values["tokenizer.ggml.tokens"]
    all_merges = [tuple(merge.split(" ")) for merge in values["tokenizer.ggml.merges"]]
    controls = [t for t, kind in zip(all_tokens, values["tokenizer.ggml.token_type"]) if kind == 3]
    smollm2 = tokenizer(all_tokens, all_merges, controls)
    special = controls[:3]
    tokens, merges = learn(special)
    small = tokenizer(tokens, merges, special)
    texts = [{"text": text, "ids": small.encode(text).ids, "smollm2": smollm2.encode(text).ids}
             for text in TEXTS]
    print(json.dumps({"tokens": tokens, "special": len(special),
                      "merges": [" ".join(merge) for merge in merges], "texts": texts},
                     separators=(",", ":")))


main()
