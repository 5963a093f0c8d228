"""A grammar of short word problems of one to four steps, each answered line by line and ended by "#### n", as GSM8K's
answers are. Deterministic by seed. `sums.py 1` prints some; `sums.py held OUT.jsonl` writes the held-out questions.

A template is a list of parts: a start, events, a question about what came of them; or one of the plots, which are of
one part. A part is (numbers, text, steps): "n=2..9" draws a number, [a|b] draws a wording, {n} is a number, {A} a name,
and {n*m=t} in a step is printed "6*4=24" and makes t 24. t is the count that the parts hand on; the last is the answer.

Held out, so that no training question has it: an eighth of all lists of numbers (those that stand in a question, in
their order), an eighth of the templates, and the names in NEW. Each held-out question has new numbers; "new" tells
whether its names or its template are new, too."""
import json, random, re, sys, zlib
END = "<|endoftext|>"
LIMIT, WIDE = 150, 10  # no number is larger than LIMIT at width 1, and LIMIT * WIDE at width WIDE
GIRLS = ("Mia Anna Lily Rosa Emma Nora Ella Ruby Clara Ivy Alma Lucy Sara Molly Grace Jane Sue Amy "
         "Kate Eva Lena Maya").split()
BOYS = ("Tom Ben Max Leo Sam Finn Jack Theo Noah Paul Otto Tim Bob John Peter Luke Adam Oscar Henry Joe "
        "Mark Nick").split()
NEW = [("Zoe Julia Daisy Hannah Sophie Ingrid Carla Tessa Greta Holly").split(),
       ("David Alex Felix Hugo Emil Karl Simon Rudi Victor Bruno").split()]
SYLLABLES = ("ba be bi bo da di do fa ga ha jo ka ki ko la li lo lu ma mi mo na ni no pa pi ra ri ro sa si ta to va "
             "vi za").split()
THINGS = ("pens books marbles apples stickers cards coins shells eggs buttons cookies stamps balls nuts plums "
          "beads").split()
COLOURS = "red blue green yellow white black".split()

START = {
    "has": [("x=10..90", "{A} has {x} {things}.", []), ("x=10..90", "{A} [finds|buys|gets] {x} {things}.", [])],
    "packs": [
        ("n=2..12 m=3..12", "{A} has {n} [boxes|bags] with {m} {things} [in each|each].",
         ["{A} has {n*m=t} {things}."]),
        ("n=2..12 m=3..12", "{A} buys {n} packs of {m} {things}.", ["{A} buys {n*m=t} {things}."])],
    "colours": [
        ("x=5..60 y=5..60", "{A} has {x} {red} {things} and {y} {blue} {things}.", ["{A} has {x+y=t} {things}."]),
        ("x=5..60 y=5..60", "{A} has {x} {red} and {y} {blue} {things}.", ["{A} has {x+y=t} {things}."])],
    "more": [
        ("x=10..70 y=3..40", "{B} has {x} {things}. {A} has {y} more[ than {B}|].", ["{A} has {x+y=t} {things}."])],
    "fewer": [
        ("x=20..90 y=3..40", "{B} has {x} {things}. {A} has {y} fewer[ than {B}|].", ["{A} has {x-y=t} {things}."])],
    "times": [
        ("x=3..12 n=3..9", "{B} has {x} {things}. {A} has {n} times as many[ as {B}|].",
         ["{A} has {x*n=t} {things}."]),
        ("x=4..50", "{B} has {x} {things}. {A} has twice as many[ as {B}|].", ["{A} has {x*2=t} {things}."])],
    "half": [("x=12..99", "{B} has {x} {things}. {A} has half as many[ as {B}|].", ["{A} has {x/2=t} {things}."])],
    "dozen": [("n=2..9", "{A} has {n} dozen {things}.", ["{A} has {n*12=t} {things}."])],
}
EVENT = {
    "gets": [
        ("y=5..60", "{C} gives {him} {y} more.", ["Then {A} has {t+y=t}."]),
        ("y=5..60", "{A} [buys|finds|gets] {y} more.", ["Then {A} has {t+y=t}."])],
    "loses": [
        ("y=3..60", "{A} [loses|drops|sells|uses] {y} of them.", ["Then {A} has {t-y=t}."]),
        ("y=3..60", "{A} gives {y} [of them |]to {C}.", ["Then {A} has {t-y=t}."])],
    "packs": [
        ("n=2..9 m=3..12", "{A} buys {n} [packs|boxes] of {m}[ more|].",
         ["{A} buys {n*m=s} more.", "Then {A} has {t+s=t}."])],
    "each": [
        ("n=2..9 m=2..9", "{A} gives {m} to each of {n} friends.",
         ["{A} gives away {n*m=s}.", "Then {A} has {t-s=t}."])],
    "halves": [
        ("", "{A} [gives half of them to {C}|loses half of them|sells half of them].", ["Then {A} has {t/2=t}."])],
    "doubles": [("", "Then {A} gets as many again.", ["Then {A} has {t*2=t}."])],
    "none": [("", "", [])],
}
FINISH = {
    "left": [("", "How many {things} does {he} have [now|then]?", [])],
    "shares": [
        ("n=3..12", "{He} shares them equally among {n} friends. How many {things} does each [friend|one] get?",
         ["Each gets {t/n=t}."])],
    "bags": [
        ("m=3..12", "{He} puts {m} in each bag. How many bags does {he} [need|fill]?", ["{A} needs {t/m=t} bags."])],
    "sells": [
        ("m=2..9", "{He} sells them for ${m} each. How many dollars does {he} get?", ["{A} gets {t*m=t} dollars."])],
    "over": [("y=3..90", "{D} has {y}. How many more {things} does {A} have than {D}?", ["{A} has {t-y=t} more."])],
    "under": [
        ("y=20..140", "{D} has {y}. How many fewer {things} does {A} have than {D}?", ["{A} has {y-t=t} fewer."])],
    "both": [
        ("y=3..90", "{D} has {y}. How many {things} do {A} and {D} have together?", ["Together they have {t+y=t}."])],
    "needs": [("y=30..150", "{He} wants {y}. How many more does {he} need?", ["{A} needs {y-t=t} more."])],
    "multiple": [
        ("n=2..5", "{D} has {n} times as many as {A}. How many {things} does {D} have?",
         ["{D} has {t*n=t} {things}."])],
}
# Sentences whose numbers have nothing to do with the question.
ASIDE = [("z=5..12", "{A} is {z} years old.", []), ("z=2..9", "{D} has {z} {pets}.", []),
         ("z=2..9", "Each [one|of them] costs ${z}.", []), ("z=3..40", "{D} has {z} {others}.", []),
         ("z=2..12", "It is {z} o'clock.", [])]

PLOTS = {
    "wage": [
        ("h=2..8 d=2..6 w=2..9",
         "{A} works {h} hours a day for {d} days. {He} earns ${w} an hour. How many dollars does {he} earn?",
         ["{A} works {h*d=s} hours.", "{A} earns {s*w=t} dollars."])],
    "wage spent": [
        ("h=2..12 w=3..12 c=10..90",
         "{A} works {h} hours [for|and earns] ${w} an hour. {He} spends ${c}. How many dollars are left?",
         ["{A} earns {h*w=s} dollars.", "{s-c=t} dollars are left."])],
    "change": [
        ("n=2..9 p=2..9 m=20..100",
         "{A} buys {n} {things} for ${p} each. {He} pays with ${m}. How many dollars does {he} get back?",
         ["{A} pays {n*p=s} dollars.", "{A} gets back {m-s=t} dollars."])],
    "two prices": [
        ("n=2..9 p=2..9 k=2..9 q=2..9",
         "{A} buys {n} {things} for ${p} each and {k} {others} for ${q} each. How many dollars does {he} pay?",
         ["The {things} cost {n*p=a}.", "The {others} cost {k*q=b}.", "{A} pays {a+b=t} dollars."])],
    "two prices, change": [
        ("n=2..6 p=2..9 k=2..6 q=2..9 m=30..100",
         "{A} has ${m}. {He} buys {n} {things} for ${p} each and {k} {others} for ${q} each. How many dollars are "
         "left?",
         ["The {things} cost {n*p=a}.", "The {others} cost {k*q=b}.", "{A} pays {a+b=s} dollars.",
          "{m-s=t} dollars are left."])],
    "price of one": [
        ("n=3..12 k=2..9 x=6..120", "{n} {things} cost ${x}. How many dollars do {k} {things} cost?",
         ["One costs {x/n=p} dollars.", "{k} cost {p*k=t} dollars."])],
    "saving": [
        ("w=2..12 n=2..12 g=30..150",
         "{A} saves ${w} a week for {n} weeks. {He} wants a bike for ${g}. How many more dollars does {he} need?",
         ["{A} saves {w*n=s} dollars.", "{A} needs {g-s=t} more."])],
    "weeks of saving": [
        ("h=5..60 g=30..150 w=3..12", "{A} has ${h}. {He} saves ${w} a week. In how many weeks does {he} have ${g}?",
         ["{A} needs {g-h=s} dollars.", "{A} needs {s/w=t} weeks."])],
    "reading": [
        ("p=40..150 d=2..9 k=3..12",
         "A book has {p} pages. {A} reads {k} pages a day for {d} days. How many pages are left?",
         ["{A} reads {k*d=s} pages.", "{p-s=t} pages are left."])],
    "days of reading": [
        ("p=40..150 r=5..60 k=3..12",
         "A book has {p} pages. {A} has read {r} of them. {He} reads {k} pages a day. In how many days is {he} done?",
         ["{p-r=s} pages are left.", "{A} needs {s/k=t} days."])],
    "hours": [
        ("h=2..3 m=10..50",
         "{A} [reads|plays|works] for {h} hours and {D} for {m} minutes. How many minutes longer does {A} "
         "[read|play|work] than {D}?",
         ["{A}: {h*60=s} minutes.", "It is {s-m=t} minutes longer."])],
    "weeks": [
        ("w=2..9 d=1..6 k=2..3", "A trip takes {w} weeks and {d} days. How many days is that?",
         ["{w} weeks are {w*7=s} days.", "The trip takes {s+d=t} days."])],
    "eaten in weeks": [
        ("n=2..4 w=2..4 x=60..150", "{A} has {x} {things}. {He} eats {n} each day for {w} weeks. How many are left?",
         ["{w} weeks are {w*7=d} days.", "{A} eats {d*n=s}.", "{x-s=t} are left."])],
    "rows": [
        ("r=3..12 c=3..12 y=3..40",
         "A [room|hall] has {r} rows of {c} chairs. {y} chairs are [empty|free]. How many are taken?",
         ["There are {r*c=s} chairs.", "{s-y=t} are taken."])],
    "bus": [
        ("x=10..60 o=3..40 i=3..40",
         "{x} people are on a bus. {o} get off and {i} get on. How many are on the bus now?",
         ["{x-o=s} people stay.", "{s+i=t} people are on the bus."])],
    "two stops": [
        ("x=20..60 o=3..20 i=3..30 u=3..30",
         "{x} people are on a bus. {o} get off and {i} get on. Then {u} get off. How many are on the bus now?",
         ["{x-o=s} people stay.", "{s+i=a} people are on the bus.", "{a-u=t} people are on the bus."])],
    "classes": [
        ("n=2..6 g=8..20 b=8..20", "{n} classes have {g} girls and {b} boys each. How many children is that?",
         ["A class has {g+b=s} children.", "{n} classes have {s*n=t} children."])],
    "girls": [
        ("n=2..5 b=10..60", "A school has {b} boys and {n} times as many girls. How many children is that?",
         ["There are {b*n=s} girls.", "There are {b+s=t} children."])],
    "sides": [
        ("a=5..40 b=3..30", "A garden is {a} meters long and {b} meters wide. How long is the fence around it?",
         ["Two sides are {a+b=s} meters.", "The fence is {s*2=t} meters long."])],
    "fence": [
        ("a=3..12 b=3..12 p=2..4",
         "A garden is {a} meters long and {b} meters wide. {A} needs {p} seeds for each square meter. How many "
         "seeds does {he} need?",
         ["The garden has {a*b=s} square meters.", "{A} needs {s*p=t} seeds."])],
    "ages": [
        ("x=5..30 d=2..30 n=2..20", "{A} is {x} years old. {B} is {d} years older. How old is {B} in {n} years?",
         ["{B} is {x+d=s}.", "In {n} years {B} is {s+n=t}."])],
    "ages, times": [
        ("x=3..12 n=2..6 y=3..30", "{A} is {x} years old. {B} is {n} times as old. How old was {B} {y} years ago?",
         ["{B} is {x*n=s}.", "{y} years ago {B} was {s-y=t}."])],
    "ages, sum": [
        ("x=5..40 d=2..30", "{A} is {x} years old. {B} is {d} years younger. How old are they together?",
         ["{B} is {x-d=s}.", "Together they are {x+s=t}."])],
    "trip": [
        ("v=3..12 h=2..9 k=5..40",
         "{A} walks {v} miles a day for {h} days. Then {he} rides {k} miles. How many miles is that?",
         ["{A} walks {v*h=s} miles.", "It is {s+k=t} miles."])],
    "way left": [
        ("d=40..150 v=5..12 h=2..9",
         "A town is {d} miles away. {A} rides {v} miles an hour for {h} hours. How many miles are left?",
         ["{A} rides {v*h=s} miles.", "{d-s=t} miles are left."])],
    "hours left": [
        ("d=40..150 x=5..90 v=3..12",
         "A town is {d} miles away. {A} has gone {x} miles. {He} goes {v} miles an hour. How many hours does {he} "
         "still need?",
         ["{d-x=s} miles are left.", "{A} needs {s/v=t} hours."])],
    "there and back": [
        ("d=3..12 n=2..6", "A school is {d} miles away. {A} goes there and back {n} times. How many miles is that?",
         ["There and back is {d*2=s} miles.", "It is {s*n=t} miles."])],
    "legs": [
        ("c=2..12 h=3..30", "A farm has {c} cows and {h} hens. How many legs do they have?",
         ["The cows have {c*4=a} legs.", "The hens have {h*2=b} legs.", "They have {a+b=t} legs."])],
    "milk": [
        ("c=2..9 l=2..9 x=3..40",
         "{A} has {c} cows. Each gives {l} liters of milk. {He} sells {x} liters. How many liters are left?",
         ["The cows give {c*l=s} liters.", "{s-x=t} liters are left."])],
    "eggs": [
        ("h=3..12 d=2..7 e=3..40", "{h} hens lay an egg each day for {d} days. {A} uses {e} eggs. How many are left?",
         ["The hens lay {h*d=s} eggs.", "{s-e=t} are left."])],
    "three": [
        ("x=5..40 y=2..20 z=2..20",
         "{A} has {x} {things}. {B} has {y} more than {A}. {C} has {z} more than {B}. How many does {C} have?",
         ["{B} has {x+y=s}.", "{C} has {s+z=t}."])],
    "three, together": [
        ("x=5..30 y=2..20 n=2..3",
         "{A} has {x} {things}. {B} has {y} more. {C} has {n} times as many as {A}. How many do they have together?",
         ["{B} has {x+y=a}.", "{C} has {x*n=b}.", "{A} and {B} have {x+a=s}.", "Together they have {s+b=t}."])],
    "two, together": [
        ("x=5..50 y=3..40", "{A} has {x} {things}. {B} has {y} more. How many do they have together?",
         ["{B} has {x+y=s}.", "Together they have {x+s=t}."]),
        ("x=5..90 y=3..40", "{A} has {x} {things}. {B} has {y} fewer. How many do they have together?",
         ["{B} has {x-y=s}.", "Together they have {x+s=t}."])],
    "two, times": [
        ("x=3..30 n=2..5", "{A} has {x} {things}. {B} has {n} times as many. How many do they have together?",
         ["{B} has {x*n=s}.", "Together they have {x+s=t}."]),
        ("x=3..30 n=3..6", "{A} has {x} {things}. {B} has {n} times as many. How many more does {B} have?",
         ["{B} has {x*n=s}.", "{B} has {s-x=t} more."])],
    "two, shared": [
        ("x=10..70 y=10..70 n=2..9",
         "{A} has {x} {things} and {B} has {y}. They share all of them among {n} friends. How many does each get?",
         ["They have {x+y=s}.", "Each gets {s/n=t}."])],
    "two, bags": [
        ("n=2..9 m=3..9 k=2..9 l=3..9",
         "{A} has {n} bags of {m} {things}. {B} has {k} bags of {l}. How many more does {A} have?",
         ["{A} has {n*m=a}.", "{B} has {k*l=b}.", "{A} has {a-b=t} more."]),
        ("n=2..9 m=3..9 k=2..9 l=3..9",
         "{A} has {n} bags of {m} {things}. {B} has {k} bags of {l}. How many do they have together?",
         ["{A} has {n*m=a}.", "{B} has {k*l=b}.", "Together they have {a+b=t}."])],
    "baking": [
        ("n=2..9 m=4..12 x=5..60",
         "{A} bakes {n} trays of {m} cookies. {He} sells {x} and eats the rest. How many does {he} eat?",
         ["{A} bakes {n*m=s} cookies.", "{A} eats {s-x=t}."])],
    "cakes": [
        ("n=2..9 m=3..12 x=50..150",
         "A cake needs {m} eggs. {A} has {x} eggs and bakes {n} cakes. How many eggs are left?",
         ["{n} cakes need {n*m=s} eggs.", "{x-s=t} eggs are left."])],
    "string": [
        ("x=30..150 n=2..9 m=3..12",
         "A string is {x} cm long. {A} cuts off {n} pieces of {m} cm. How many cm are left?",
         ["{A} cuts off {n*m=s} cm.", "{x-s=t} cm are left."])],
    "tank": [
        ("x=40..150 y=3..12 h=2..9",
         "A tank holds {x} liters. {y} liters flow out each hour. How many liters are in it after {h} hours?",
         ["{y*h=s} liters flow out.", "{x-s=t} liters are left."])],
    "filling": [
        ("x=5..40 y=3..12 g=40..150",
         "A tank holds {g} liters. There are {x} liters in it, and {y} liters flow in each minute. In how many "
         "minutes is it full?",
         ["{g-x=s} liters are missing.", "It takes {s/y=t} minutes."])],
    "dozen sold": [
        ("n=2..9 x=5..60 p=2..3", "{A} has {n} dozen eggs. {He} sells {x} of them. How many are left?",
         ["{A} has {n*12=s} eggs.", "{s-x=t} are left."])],
    "dimes": [
        ("d=2..9 n=2..9", "{A} has {d} dimes and {n} nickels. How many cents is that?",
         ["The dimes are {d*10=a} cents.", "The nickels are {n*5=b} cents.", "It is {a+b=t} cents."])],
    "points": [
        ("w=3..12 p=2..5 l=2..12 q=3..30",
         "{A} wins {w} games with {p} points each and loses {q} points. How many points does {he} have?",
         ["{A} wins {w*p=s} points.", "{A} has {s-q=t} points."])],
    "scores": [
        ("x=10..60 y=10..60 z=10..60", "{A} gets {x} points, then {y}, then {z}. How many points is that?",
         ["{A} has {x+y=s} after two.", "{A} has {s+z=t} points."])],
    "mean": [
        ("x=5..60 y=5..60",
         "{A} has {x} {things} and {B} has {y}. They share them so that both have the same. How many does each have?",
         ["They have {x+y=s}.", "Each has {s/2=t}."])],
    "tables": [
        ("n=3..12 m=3..9 x=10..90", "A room has {n} tables for {m} people. {x} people come. How many seats are left?",
         ["There are {n*m=s} seats.", "{s-x=t} seats are left."])],
    "teams": [
        ("x=10..60 y=10..60 m=3..12", "{x} girls and {y} boys make teams of {m}. How many teams are there?",
         ["There are {x+y=s} children.", "There are {s/m=t} teams."])],
    "boxes": [
        ("n=2..9 m=3..12 k=3..12",
         "{A} has {n} boxes of {m} {things}. {He} puts all into bags of {k}. How many bags does {he} fill?",
         ["{A} has {n*m=s} {things}.", "{A} fills {s/k=t} bags."])],
    "left to each": [
        ("x=30..150 y=3..60 n=3..12",
         "{x} {things} are in a box. {y} of them are bad. The rest is for {n} children. How many does each get?",
         ["{x-y=s} are good.", "Each gets {s/n=t}."])],
    "months": [
        ("w=2..9 c=5..12 h=20..100",
         "{A} pays ${c} a month for {w} months and has ${h} left. How many dollars did {he} have?",
         ["{A} pays {w*c=s} dollars.", "{A} had {s+h=t} dollars."])],
    "before": [
        ("x=5..60 y=5..60 z=3..40",
         "{A} gives {x} {things} to {B} and {y} to {C}. Now {he} has {z}. How many did {he} have?",
         ["{A} gives away {x+y=s}.", "{A} had {s+z=t}."])],
    "discount": [
        ("p=20..90 d=2..15 n=2..5",
         "A coat costs ${p}. Today it costs ${d} less. How many dollars do {n} coats cost?",
         ["A coat costs {p-d=s} dollars.", "{n} cost {s*n=t} dollars."])],
}
def chance(text): return zlib.crc32(text.encode()) % 8 == 0

def templates():
    """Names of parts. Those of chains have two to four steps; of the longest, which are many, a fifth is taken."""
    steps = lambda kind, name: min(len(p[2]) for p in kind[name])
    out = [("plot", p) for p in PLOTS]
    for s in START:
        for e in EVENT:
            for f in EVENT:
                for q in FINISH:
                    n = steps(START, s) + steps(EVENT, e) + steps(EVENT, f) + steps(FINISH, q)
                    if f == "none" and 2 <= n <= 4: out.append((s, e, q))
                    if "none" not in (e, f) and e != f and n <= 4 and zlib.crc32(f"{s}{e}{f}{q}".encode()) % 5 == 1:
                        out.append((s, e, f, q))
    return out

def is_new(template): return chance("template " + " ".join(template))
def has_new_numbers(question): return chance(" ".join(re.findall(r"\d+", question)))

def parts_of(r, template):
    if template[0] == "plot": return [r.choice(PLOTS[template[1]])]
    kinds = [START] + [EVENT] * (len(template) - 2) + [FINISH]
    return [r.choice(kind[name]) for kind, name in zip(kinds, template)]

def cast(r, names):
    """Whom and what a problem is about."""
    if names == "new": pool = [(n, sex) for sex in (0, 1) for n in NEW[sex]]
    else: pool = [(n, 0) for n in GIRLS] + [(n, 1) for n in BOYS]
    who = r.sample(pool, 4)
    if names == "made up":
        who = [("".join(r.sample(SYLLABLES, r.choice([2, 2, 3]))).capitalize(), sex) for _, sex in who]
    he, him, his = (("she", "her", "her"), ("he", "him", "his"))[who[0][1]]
    things, others = r.sample(THINGS, 2)
    red, blue = r.sample(COLOURS, 2)
    return dict(A=who[0][0], B=who[1][0], C=who[2][0], D=who[3][0], he=he, He=he.capitalize(), him=him, his=his,
                things=things, others=others, red=red, blue=blue, pets=r.choice(["cats", "dogs", "birds", "fish"]))

def draw(r, ranges, width):
    """Numbers for a part. Width: how much larger those may be that are counts of things, not factors."""
    bounds = [re.match(r"(\w)=(\d+)\.\.(\d+)$", one).groups() for one in ranges.split()]
    return {name: r.randint(int(low), int(high) * (width if int(high) > 40 else 1)) for name, low, high in bounds}

class Unfit(Exception): pass

def compute(a, sign, b, limit):
    if sign == "/" and a % b: raise Unfit
    n = {"+": a + b, "-": a - b, "*": a * b, "/": a // b}[sign]
    if not 1 < n <= limit: raise Unfit
    return n

def step(text, known, words, limit):
    def sum_of(m):
        a, b = (int(x) if x.isdigit() else known[x] for x in (m[1], m[3]))
        known[m[4]] = n = compute(a, m[2], b, limit)
        return f"{a}{m[2]}{b}={n}"
    return say(re.sub(r"\{(\w+)([-+*/])(\w+)=(\w)\}", sum_of, text), known, words)

def say(text, known, words):
    return re.sub(r"\{(\w+)\}", lambda m: str(known[m[1]] if m[1] in known else words[m[1]]), text)

def attempt(r, template, words, aside, width):
    parts, known, question, lines = parts_of(r, template), {}, [], []
    if aside and template[0] != "plot": parts.insert(1, r.choice(ASIDE))
    for ranges, text, steps in parts:
        known.update(draw(r, ranges, width))
        if "x" in known and "t" not in known and not steps: known["t"] = known["x"]
        text = re.sub(r"\[([^\[\]]*)\]", lambda m: r.choice(m[1].split("|")), text)
        if text: question.append(say(text, known, words))
        lines += [step(s, known, words, LIMIT * width) for s in steps]
    return " ".join(question), "\n".join(lines + [f"#### {known['t']}"])

def problem(r, pool, names, new_numbers, width):
    """(question, answer) of one of the pool's templates; numbers are drawn again until all come out."""
    template, words, aside = r.choice(pool), cast(r, names), r.random() < .12
    while True:
        try: question, answer = attempt(r, template, words, aside, width)
        except Unfit: continue
        if has_new_numbers(question) == new_numbers: return question, answer

def pools():
    """Templates for training and held out. A plot is drawn as often as eight chains: there are fewer of them."""
    weighed = [t for t in templates() for _ in range(8 if t[0] == "plot" else 1)]
    return [t for t in weighed if not is_new(t)], [t for t in weighed if is_new(t)]

def document(question, answer): return f"Question: {question}\nAnswer: {answer}"

def build(seed, count, width=WIDE):
    """Training documents; a fifth of them has made-up names, so that a name is something to copy."""
    r, (known, _) = random.Random(seed), pools()
    return [document(*problem(r, known, "made up" if r.random() < .2 else "known", False, width)) for _ in range(count)]

def held(seed, count):
    """Held-out questions: half with new numbers alone, a quarter each with new names and with new templates, too."""
    r, (known, new) = random.Random(seed), pools()
    kinds, out, seen = ["numbers", "names", "numbers", "template"] * (count // 4), [], set()
    r.shuffle(kinds)
    for kind in kinds:
        while True:
            q, a = problem(r, new if kind == "template" else known, "new" if kind == "names" else "known", True, WIDE)
            if q not in seen and (kind != "names" or any(n in q for pool in NEW for n in pool)): break
        seen.add(q)
        out.append(dict(question=q, answer=a, new=kind))
    return out

if __name__ == "__main__":
    if sys.argv[1:2] == ["held"]:
        with open(sys.argv[2], "w") as f: f.writelines(json.dumps(q) + "\n" for q in held(11, 4000))
    else:
        known, new = (set(p) for p in pools())
        print(len(known), "templates,", len(new), "held out\n")
        print("\n\n".join(build(int(sys.argv[1]) if len(sys.argv) > 1 else 1, 20)))
