"""consistent.py [FILE]: which stories hold together? Prints the shares of those that keep to one hero and one friend,
to one toy, to each thing's colour, and to one relative and one pronoun for it; then of those that do all four. Stories
stand in the file one after another, each ended by a line "---". Without a file it judges 5,000 stories of the corpus,
which are all in order: what it counts against them is its own error. A wrong animal, an odd turn and many a wrong toy
escape it."""
import random, re, sys
import corpus
NAMES = set(corpus.GIRLS + corpus.BOYS + corpus.PETS)
COLOURS, RELATIVES, TOYS = "|".join(corpus.COLOURS), "|".join(corpus.RELATIVES), set(corpus.TOYS)
HOLDS = {"basket", "box", "bag", "hat", "book", "bell", "cup", "boat", "coat"}  # what plots bring along besides the toy

def names(text):
    found = {w for w in re.findall(r"[A-Z][a-z]+", text) if w in NAMES}
    found |= set(re.findall(r"named ([A-Z][a-z]+)", text)) | set(re.findall(r"[Nn]ame was ([A-Z][a-z]+)", text))
    return found | set(re.findall(r"call you ([A-Z][a-z]+)", text))

def unknown(text, people):
    """Those beside the hero, who is named first, of whom nobody says who they are."""
    people = sorted(people, key=text.index)[1:]
    return [p for p in people if not re.search(rf"([Hh]is|[Hh]er) friend {p}\b|named {p}\b|call you {p}\b|"
                                               rf"the ({'|'.join(corpus.CREATURES)}) {p}\b", text)]

def checks(text):
    people, colours = names(text), {}
    for colour, thing in re.findall(rf"\b({COLOURS}) ([a-z]+)", text): colours.setdefault(thing, set()).add(colour)
    toys = {t for t in re.findall(r"[a-z]+", text) if t in TOYS} - HOLDS
    kin = re.findall(rf"\b([Hh]is|[Hh]er) ({RELATIVES})\b", text)
    return (len(people) <= 2 + ("call you" in text) and not unknown(text, people), len(toys) <= 1, all(len(c) == 1 for c in colours.values()),
            len({k for _, k in kin}) <= 1 and len({p.lower() for p, _ in kin}) <= 1)

def main():
    if len(sys.argv) > 1: stories = [s for s in open(sys.argv[1]).read().split("\n---\n") if s.strip()]
    else:
        r = random.Random(1)
        stories = [corpus.tell(r, corpus.cast(r), r.choice(list(corpus.PLOTS))) for _ in range(5000)]
    kept = [checks(s.split("\n\n")[0]) for s in stories]
    for i, what in enumerate(("one hero, one friend", "one toy", "the colour of each thing", "relatives, pronouns")):
        print("%-26s %5.1f %%" % (what, 100 * sum(k[i] for k in kept) / len(kept)))
    print("%-26s %5.1f %% of %d" % ("all of these", 100 * sum(map(all, kept)) / len(kept), len(kept)))

main()
