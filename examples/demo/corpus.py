"""Generates short English stories, questions and sums; deterministic by seed. The last fifth is held out."""
import random, sys
END = "<|endoftext|>"
CHILDREN = [(n, "she", "her") for n in "Mia Anna Lily Rosa Emma Nora Ella Ruby".split()] + \
           [(n, "he", "his") for n in "Tom Ben Max Leo Sam Finn Jack Theo".split()]
PLACES = ["the park", "the garden", "the forest", "the beach", "the farm", "the old mill", "the river", "the hill"]
COLOURS = "red blue green yellow white brown".split()
THINGS = "ball kite hat boat book drum scarf cup".split()
FRIENDS = ["a wise owl", "a small fox", "an old man", "a kind girl", "a gray mouse", "a big dog"]
HIDDEN = ["under a bush", "behind a rock", "in a tall tree", "beside the path", "in the long grass"]

def story(r):
    (name, he, his), place, hid = r.choice(CHILDREN), r.choice(PLACES), r.choice(HIDDEN)
    thing, friend = r.choice(COLOURS) + " " + r.choice(THINGS), r.choice(FRIENDS)
    short = "the " + friend.split()[-1]
    He = he.capitalize()
    lines = [r.choice([f"One day, {name} went to {place} with {his} {thing}.", f"{name} loved {his} {thing}. {He} took it to {place}."]),
             r.choice([f"But soon the {thing} was gone, and {name} was sad.", f"Then the wind came, and {name} lost the {thing}."]),
             r.choice([f"{He} met {friend}. \"Can you help me?\" {he} asked.", f"Just then {friend} came by. \"Why do you cry?\" asked {short}."]),
             f"They looked and looked. {short.capitalize()} found the {thing} {hid}.",
             r.choice([f"{name} was happy and said thank you.", f"\"Thank you!\" said {name}. They played until the sun went down."])]
    asked = r.choice([(f"Who lost the {thing}?", name), (f"Where was the {thing}?", hid), (f"Who found the {thing}?", short)])
    tail = f"\n\nQuestion: {asked[0]}\nAnswer: {asked[1]}" if r.random() < .25 else ""
    return " ".join(lines) + tail

def sums(r):
    a, b = r.randrange(10), r.randrange(10)
    return f"Question: What is {a} plus {b}?\nAnswer: {a + b}"

def build(seed, count, stories=None):
    """Returns (train, held); no held-out document is also a training document."""
    r = random.Random(seed)
    docs = [sums(r) if r.random() < .05 else story(r) for _ in range(count)]
    cut = count * 4 // 5
    train, seen = docs[:cut], set(docs[:cut])
    held = [d for d in docs[cut:] if d not in seen]
    real = [d.strip() for d in open(stories).read().split(END) if d.strip()] if stories else []
    cut = len(real) * 4 // 5
    return train + real[:cut], held, real[cut:]
