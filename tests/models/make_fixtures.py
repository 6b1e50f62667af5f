"""Writes fixtures/minilm.json: what the reference implementation makes of some sentences.

  python3 make_fixtures.py MODEL_DIR > fixtures/minilm.json

Needs the packages sentence-transformers and torch. MODEL_DIR is what
examples/models/minilm/fetch.sh prints. Texts too long to write out are a unit and a count.
"""

import json
import sys

import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer

BANK = "The bank of the river was steep"

# name, text or (unit, count), max_tokens (256 is the model's own)
CASES = [
    ("plain", "The quick brown fox jumps over the lazy dog.", 256),
    ("bank of the river", BANK, 256),
    ("bank and money", "She deposited her salary at the bank on Friday.", 256),
    ("question", "How do I sort a list in Python?", 256),
    ("one word", "attention", 256),
    ("one letter", "a", 256),
    ("contractions", "It's what they're after, isn't it? I can't and won't!", 256),
    ("sub-words", "Unbelievable electroencephalographically antidisestablishmentarianism", 256),
    ("mixed case", "HeLLo WORLD, iPhone and eBay and NASA", 256),
    ("accents", "Café naïve Ångström Zürich São Paulo façade crème brûlée", 256),
    ("german", "Die Straße führt über den Fluß nach Köln.", 256),
    ("combining marks", "Cafe\u0301 nai\u0308ve A\u030angstro\u0308m z\u0323\u0307\u0301", 256),
    ("marks out of order", "q\u0307\u0323 and q\u0323\u0307 and \u0301 alone", 256),
    ("vietnamese", "Tiếng Việt có nhiều dấu thanh", 256),
    ("dotless i", "İstanbul'da ılık bir ıssız IŞIK", 256),
    ("chinese", "注意力机制是深度学习的核心", 256),
    ("chinese and english", "Transformer模型uses注意力to解释text。", 256),
    ("japanese", "これはテストです。カタカナとひらがな、漢字。", 256),
    ("korean", "안녕하세요 세계, 주의 메커니즘", 256),
    ("ideograph outside the basic plane", "𠀀 𪚥 and 𫝀", 256),
    ("emoji", "I love pizza 🍕 and 👩‍👩‍👧‍👦 and 🇫🇷 ❤️", 256),
    ("empty", "", 256),
    ("spaces only", "  \t \u00a0 \u3000 \n ", 256),
    ("punctuation only", "!?.,;:—–…“”‘’«»¿¡()[]{}<>@#$%^&*_+=|\\/~`", 256),
    ("symbols", "5 € + 3 £ ≈ 9 $ © ™ ½ ² №", 256),
    ("long word", ("pneumono", 20), 256),
    ("word of 100 characters", ("abcdefghij", 10), 256),
    ("word of 101 characters in letters", ("a", 101), 256),
    ("control characters", "tab\tbell\x07null\x00escape\x1b[0m del\x7f nel\u0085end", 256),
    ("format characters", "zero\u200bwidth soft\u00adhyphen bom\ufeff join\u200der", 256),
    ("replacement and private", "broken \ufffd here, private \ue000 there", 256),
    ("odd spaces", "en\u2002quad\u2003thin\u2009line\u2028para\u2029ogham\u1680end", 256),
    ("numbers", "3.14159 1,000,000 2024-01-31 +44 20 7946 0958 1e-5 ٣٤٥", 256),
    ("arabic", "مرحبا بالعالم، كيف حالك؟", 256),
    ("hebrew", "שָׁלוֹם עוֹלָם mixed with English", 256),
    ("russian", "Привет, мир! Ёлка и йод", 256),
    ("greek", "Ὀδυσσεύς ΟΔΥΣΣΕΥΣ Σίσυφος", 256),
    ("hindi", "नमस्ते दुनिया हिन्दी", 256),
    ("thai", "สวัสดีชาวโลก", 256),
    ("ligatures", "ﬁle ﬂow Ĳssel Ǆungla ſharp", 256),
    ("special tokens", "before[SEP]after [MASK] [CLS] [sep] [UNK][PAD]", 256),
    ("address", "Write to jane.doe+test@example.com or see https://example.com/a?b=c#d", 256),
    ("code", "for (int i = 0; i < n; ++i) { x[i] *= 2; }", 256),
    ("crlf", "first line\r\nsecond line\r\n", 256),
    ("254 tokens", ("word ", 252), 256),
    ("256 tokens exactly", ("word ", 254), 256),
    ("257 tokens", ("word ", 255), 256),
    ("600 tokens", ("the bank of the river ", 120), 256),
    ("512 tokens exactly", ("word ", 510), 512),
    ("513 tokens", ("word ", 511), 512),
    ("two thousand tokens", ("The bank of the river was steep, and wet. ", 200), 512),
    ("cut inside a word", ("antidisestablishmentarianism ", 30), 64),
    ("cut to two tokens", "nothing is left", 2),
    ("cut to three tokens", "one is left", 3),
]


def short(values):
    return [float(f"{x:.9g}") for x in values]


def case(model, name, source, max_tokens):
    text = source if isinstance(source, str) else source[0] * source[1]
    ids = model.tokenizer(text, truncation=True, max_length=max_tokens)["input_ids"]
    model.max_seq_length = max_tokens
    embedding = model.encode(text, batch_size=1).tolist()
    written = {"text": source} if isinstance(source, str) else {
        "unit": source[0], "count": source[1]}
    return {"name": name, **written, "max_tokens": max_tokens, "ids": ids,
            "embedding": short(embedding)}


def inside(model, text, layers):
    """The last layer's token vectors, and the attention weights of some layers."""
    model.max_seq_length = 256
    bert = model[0].auto_model
    bert.set_attn_implementation("eager")
    features = model.tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        result = bert(**features, output_attentions=True)
    tokens = result.last_hidden_state[0].tolist()
    return {"text": text, "tokens": model.tokenizer.convert_ids_to_tokens(features["input_ids"][0]),
            "token": 2, "token_embedding": short(tokens[2]),
            "weights": {str(layer): [[short(row) for row in head]
                                     for head in result.attentions[layer][0].tolist()]
                        for layer in layers}}


def main():
    torch.set_num_threads(1)
    model = SentenceTransformer(sys.argv[1], device="cpu")
    assert model.max_seq_length == 256
    fixture = {
        "reference": {"sentence-transformers": sentence_transformers.__version__,
                      "transformers": transformers.__version__,
                      "tokenizers": tokenizers.__version__, "torch": torch.__version__},
        "cases": [case(model, *entry) for entry in CASES],
        "inside": inside(model, BANK, (0, 5)),
    }
    lines = [json.dumps(entry) for entry in fixture["cases"]]
    print('{"reference": ' + json.dumps(fixture["reference"]) + ',\n "cases": [\n'
          + ",\n".join(lines) + '],\n "inside": ' + json.dumps(fixture["inside"]) + "}")


main()
