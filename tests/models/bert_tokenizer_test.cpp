// The tokenizer on a small vocabulary made here; minilm_test.cpp has the model's own.
#include "models/bert_tokenizer.hpp"

#include <string>
#include <vector>

#include "heed/core/error.hpp"
#include "models/bert_words.hpp"
#include "models/utf8.hpp"
#include "support/catch.hpp"

namespace {

using heed::Error;
using heed::models::bert_words;
using heed::models::BertTokenizer;
using heed::models::Vocabulary;
using Words = std::vector<std::string>;

const std::string small_vocabulary =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##want\n##ed\nwant\nrunn\n##ing\n,\nthe\n##e\nt\n##t\n"
    "e\n[\nsep\n]\ncafe\n中\n##中\n";

const BertTokenizer& tokenizer() {
  static const BertTokenizer made{Vocabulary(small_vocabulary)};
  return made;
}

Words tokens(std::string_view text, std::size_t max_tokens = 64) {
  Words words;
  for (const auto id : tokenizer().encode(text, max_tokens).ids) {
    words.push_back(tokenizer().vocabulary().token(id));
  }
  return words;
}

Words words_of(std::string_view text) {
  Words words;
  for (const std::u32string& word : bert_words(text)) {
    words.emplace_back();
    for (const char32_t point : word) heed::models::append_utf8(words.back(), point);
  }
  return words;
}

}  // namespace

TEST_CASE("words: spaces, punctuation, case and accents") {
  CHECK(words_of(" Hello, WORLD!  ") == Words{"hello", ",", "world", "!"});
  CHECK(words_of("don't $5 a_b ^") == Words{"don", "'", "t", "$", "5", "a", "_", "b", "^"});
  CHECK(words_of("Café Cafe\u0301 Ångström") == Words{"cafe", "cafe", "angstrom"});
  CHECK(words_of("İI ı ß Σς") == Words{"ii", "ı", "ß", "σς"});
  CHECK(words_of("«quote»—“dash”") == Words{"«", "quote", "»", "—", "“", "dash", "”"});
}

TEST_CASE("words: control characters vanish, all spaces separate") {
  CHECK(words_of(std::string_view("a\0b\x07"
                                  "c\x7f"
                                  "d",
                                  7)) == Words{"abcd"});
  CHECK(words_of("a\u200bb\u00adc\ufeffd\ufffde\ue000f") == Words{"abcdef"});
  CHECK(words_of("a\tb\nc\rd\u00a0e\u3000f\u2028g\u1680h") ==
        Words{"a", "b", "c", "d", "e", "f", "g", "h"});
  CHECK(words_of("").empty());
  CHECK(words_of(" \t\r\n\u2003").empty());
}

TEST_CASE("words: ideographs stand alone, kana and hangul do not") {
  CHECK(words_of("a中文b") == Words{"a", "中", "文", "b"});
  CHECK(words_of("𠀀x") == Words{"𠀀", "x"});
  CHECK(words_of("カナ").size() == 1);
  CHECK(words_of("각") == Words{"\u1100\u1161\u11a8"});
}

TEST_CASE("WordPiece takes the longest known beginning") {
  CHECK(tokens("unwanted running, the") ==
        Words{"[CLS]", "un", "##want", "##ed", "runn", "##ing", ",", "the", "[SEP]"});
  CHECK(tokens("UNWANTED") == Words{"[CLS]", "un", "##want", "##ed", "[SEP]"});
  CHECK(tokens("tet") == Words{"[CLS]", "t", "##e", "##t", "[SEP]"});
  CHECK(tokens("t中") == Words{"[CLS]", "t", "中", "[SEP]"});
  CHECK(tokens("") == Words{"[CLS]", "[SEP]"});
}

TEST_CASE("a word with an unknown rest, or of more than 100 characters, is one [UNK]") {
  CHECK(tokens("unx the") == Words{"[CLS]", "[UNK]", "the", "[SEP]"});
  CHECK(tokens("x") == Words{"[CLS]", "[UNK]", "[SEP]"});
  CHECK(tokens(std::string(100, 't'), 200).size() == 102);
  CHECK(tokens(std::string(101, 't'), 200) == Words{"[CLS]", "[UNK]", "[SEP]"});
  // Characters are counted, not bytes, and after accents are gone.
  std::string accented;
  for (int i = 0; i < 100; ++i) accented += "e\u0301";
  CHECK(tokens(accented, 200).size() == 102);
}

TEST_CASE("a special token written in the text is that token") {
  CHECK(tokens("the[SEP]the") == Words{"[CLS]", "the", "[SEP]", "the", "[SEP]"});
  CHECK(tokens("[CLS][MASK]") == Words{"[CLS]", "[CLS]", "[MASK]", "[SEP]"});
  CHECK(tokens("[[SEP]]") == Words{"[CLS]", "[", "[SEP]", "]", "[SEP]"});
  CHECK(tokens("[sep]") == Words{"[CLS]", "[", "sep", "]", "[SEP]"});
  CHECK(tokens("[S EP]") == Words{"[CLS]", "[", "[UNK]", "[UNK]", "]", "[SEP]"});
}

TEST_CASE("accents and other marks of a long word are put in order, however many") {
  // U+302E (class 224, not an accent) goes behind the accent of class 220 and before that of 230,
  // both of which vanish; U+1D165 (class 216) goes before it, except across U+034F, of class 0.
  CHECK(words_of("a\u0301\u302e\u0323\U0001d165") == Words{"a\U0001d165\u302e"});
  CHECK(words_of("a\u302e\u034f\U0001d165") == Words{"a\u302e\U0001d165"});
  std::string marks = "a";
  for (int i = 0; i < 30'000; ++i) marks += "\u0301\u0323";
  CHECK(words_of(marks + "b") == Words{"ab"});
  for (int i = 0; i < 300; ++i) marks += "\u302e\U0001d165";
  CHECK(tokens(marks) == Words{"[CLS]", "[UNK]", "[SEP]"});
}

TEST_CASE("of a long word no more is kept than tells that it is too long") {
  std::vector<std::size_t> sizes;
  heed::models::each_bert_word("ab cdefgh ij", 4, [&](const std::u32string& word) {
    sizes.push_back(word.size());
    return sizes.size() < 2;
  });
  CHECK(sizes == std::vector<std::size_t>{2, 5});
}

TEST_CASE("truncation keeps [CLS] and [SEP]") {
  CHECK(tokens("the the the", 5) == Words{"[CLS]", "the", "the", "the", "[SEP]"});
  CHECK_FALSE(tokenizer().encode("the the the", 5).truncated);
  CHECK_FALSE(tokenizer().encode("the the the  ", 5).truncated);
  CHECK(tokens("the the the", 4) == Words{"[CLS]", "the", "the", "[SEP]"});
  CHECK(tokenizer().encode("the the the", 4).truncated);
  CHECK(tokens("unwanted", 3) == Words{"[CLS]", "un", "[SEP]"});
  CHECK(tokens("the", 2) == Words{"[CLS]", "[SEP]"});
  CHECK(tokenizer().encode("the", 2).truncated);
  CHECK_FALSE(tokenizer().encode("", 2).truncated);
  CHECK_THROWS_AS(tokenizer().encode("the", 1), Error);
}

TEST_CASE("bad UTF-8 is an error that says where") {
  for (const std::string_view bad : {"\xff", "\x80", "\xc3", "\xc0\xaf", "\xe4\xb8", "\xed\xa0\x80",
                                     "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xe0\x80\x80"}) {
    const std::string text = "the " + std::string(bad);
    CHECK(heed::models::utf8_error(text) == std::size_t{4});
    CHECK_THROWS_WITH(tokenizer().encode(text, 64), heed::test::ContainsSubstring("at byte 4"));
    CHECK_THROWS_AS(tokenizer().encode(text + " the", 64), Error);
  }
  CHECK_FALSE(heed::models::utf8_error("a\u00e9\u4e2d\U0001f355\U0010ffff"));
}

TEST_CASE("every code point goes through, and comes back from UTF-8") {
  for (char32_t point = 0; point < 0x110000; ++point) {
    if (point >= 0xd800 && point < 0xe000) continue;
    std::string text;
    heed::models::append_utf8(text, point);
    const std::u32string back = heed::models::decode_utf8(text);
    if (back.size() != 1 || back[0] != point) FAIL("U+" << std::hex << unsigned{point});
    if (point % 7 == 0) CHECK_NOTHROW(bert_words("a" + text + "b"));
  }
}

TEST_CASE("vocabularies") {
  const Vocabulary crlf("a\r\nb\r\n");
  CHECK(crlf.size() == 2);
  CHECK(crlf.find("b") == 1);
  CHECK(Vocabulary("a\nb\na").find("a") == 2);
  CHECK_FALSE(crlf.find("c"));
  CHECK_THROWS_WITH(crlf.token(2), heed::test::ContainsSubstring("outside [0, 2)"));
  CHECK_THROWS_AS(crlf.token(-1), Error);
  CHECK_THROWS_AS(Vocabulary(""), Error);
  CHECK_THROWS_WITH(Vocabulary("a\n\xff"), heed::test::ContainsSubstring("not UTF-8 at byte 2"));
  CHECK_THROWS_WITH(BertTokenizer(Vocabulary("[PAD]\n[UNK]\n[CLS]\n[MASK]\n")),
                    heed::test::ContainsSubstring("no token \"[SEP]\""));
  CHECK_THROWS_AS(Vocabulary::from_file("/no/such/file"), Error);
}
