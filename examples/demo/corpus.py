"""Generates short English stories, questions about them and sums; deterministic by seed. The last fifth is held out.

A story is a list of lines; a line is written in several ways, of which one is drawn. What is drawn for {name}, {thing},
{friend} ... holds for the whole story, so a model that tells it well must look back."""
import random
END = "<|endoftext|>"
GIRLS = "Mia Anna Lily Rosa Emma Nora Ella Ruby Clara Ivy Zoe Alma".split()
BOYS = "Tom Ben Max Leo Sam Finn Jack Theo Noah Emil Paul Otto".split()
PLACES = ["the park", "the garden", "the forest", "the beach", "the farm", "the old mill", "the river", "the hill",
          "the lake", "the meadow", "the market", "the harbor"]
COLOURS = "red blue green yellow white brown pink golden".split()
TOYS = "ball kite hat boat book drum scarf cup doll lantern bell basket".split()
ANIMALS = "owl fox mouse dog cat rabbit hedgehog duck frog pony squirrel goat".split()
MOODS = "wise small kind gray old gentle funny quiet brave clever".split()
HIDDEN = ["under a bush", "behind a rock", "in a tall tree", "beside the path", "in the long grass", "near the bridge",
          "under the bench", "behind the fence"]
FOODS = "bread soup cake honey apples cheese berries pancakes cookies pears".split()
WEATHER = ["the wind came", "it began to rain", "a storm came", "the snow fell", "the fog rolled in", "the sun went down"]
HOMES = ["a small house", "a cottage by the road", "a red house", "a house on the hill", "a little boat", "a farm house"]

OPENINGS = ["One day, {name} went to {place} with {his} {thing}.",
            "{name} lived in {home}. One morning {he} took {his} {thing} to {place}.",
            "Once upon a time, there was a {child} named {name}. {He} loved {his} {thing}. One day {he} took it to {place}.",
            "It was a warm day, and {name} went to {place}. {He} had {his} {thing} with {him}."]
MEETINGS = ["{He} met {friend}. \"Can you help me?\" {he} asked.",
            "Just then {friend} came by. \"Why are you sad?\" asked {short}.",
            "\"Hello, {name},\" said {friend}. \"What is wrong?\"",
            "{friend_} saw {him} and stopped. \"I will help you,\" {short} said."]
ENDINGS = ["{name} was happy and said thank you.", "\"Thank you!\" said {name}. They played until the sun went down.",
           "{name} gave {short} some {food}, and they became good friends.",
           "That night {name} told {his} {parent} about {short}.",
           "From that day on, {name} and {short} went to {place} together."]
LOST = [OPENINGS, ["But soon the {thing} was gone, and {name} was sad.", "Then {weather}, and {name} lost the {thing}.",
                   "{name} looked away, and when {he} looked back, the {thing} was gone."], MEETINGS,
        ["They looked and looked. At last {short} found the {thing} {hidden}.",
         "They looked for a long time. \"Here it is!\" said {short}. The {thing} was {hidden}.",
         "{short_} looked {hidden}, and there was the {thing}."], ENDINGS]
SHARE = [["{name} had some {food}, and {he} was going to {place}.",
          "{name}'s {parent} made {food}. \"Take some to {place},\" {parent} said.",
          "One day, {name} carried a basket of {food} to {place}."],
         ["On the way {he} met {friend}. \"I am so hungry,\" said {short}.",
          "There {he} saw {friend} who had nothing to eat.",
          "{friend_} was sitting {hidden}. {short_} looked hungry."],
         ["{name} wanted to keep the {food}. But then {he} thought about it, and {he} shared.",
          "\"You can have half of my {food},\" said {name}.", "So {name} sat down and shared the {food} with {short}."],
         ["\"You are kind,\" said {short}. {short_} gave {name} a {thing}.",
          "{short_} was so happy that {short} danced. Then {short} gave {him} a {thing}."],
         ["{name} went home with the {thing} and a smile.", "Now {name} keeps the {thing} next to {his} bed.",
          "{name} learned that it is good to share."]]
BRAVE = [["{name} and {friend} lived near {place}.", "{name} had a friend, {friend}. They met at {place} every day."],
         ["One evening {weather}, and {short} was afraid.", "Then {weather}. \"I want to go home,\" said {short}.",
          "One day {short} was stuck {hidden}. \"Help!\" {short} called."],
         ["\"Do not be afraid,\" said {name}. {He} took {his} {thing} and ran to {short}.",
          "{name} heard it. {He} was afraid too, but {he} took {his} {thing} and went.",
          "{name} held up {his} {thing}, so that {short} could see the way."],
         ["\"Follow me,\" {he} said, and they walked home together.", "They held on to the {thing} until it was over."],
         ["\"You are brave,\" said {short}. {name} smiled.", "At home they ate {food} and laughed about it.",
          "{name}'s {parent} was proud of {him}."]]
QUESTIONS = {0: [("Who lost the {thing}?", "{name}"), ("Where was the {thing}?", "{hidden}"), ("Who found the {thing}?", "{short}"),
                 ("What did {name} lose?", "the {thing}"), ("Where did {name} go?", "{place}")],
             1: [("Who was hungry?", "{short}"), ("What did {name} share?", "{food}"), ("What did {short} give {name}?", "a {thing}")],
             2: [("Who was brave?", "{name}"), ("Who was {name}'s friend?", "{short}"), ("What did {name} take?", "{his} {thing}")]}

def story(r):
    girl = r.random() < .5
    f = dict(name=r.choice(GIRLS if girl else BOYS), child="girl" if girl else "boy", place=r.choice(PLACES), food=r.choice(FOODS),
             thing=r.choice(COLOURS) + " " + r.choice(TOYS), hidden=r.choice(HIDDEN), weather=r.choice(WEATHER), home=r.choice(HOMES),
             parent=r.choice(["mother", "father", "grandma", "uncle"]), **(dict(he="she", his="her", him="her", He="She") if girl
                                                                           else dict(he="he", his="his", him="him", He="He")))
    mood, animal = r.choice(MOODS), r.choice(ANIMALS)
    f.update(friend=("an " if mood[0] in "aeiou" else "a ") + mood + " " + animal, short="the " + animal)
    f.update(friend_=f["friend"].capitalize(), short_=f["short"].capitalize())
    kind = r.choice([0, 0, 1, 2])
    text = " ".join(r.choice(line) for line in (LOST, SHARE, BRAVE)[kind])
    if r.random() < .3:
        text += "".join("\n\nQuestion: %s\nAnswer: %s" % qa for qa in r.sample(QUESTIONS[kind], r.choice([1, 1, 2])))
    return text.format(**f)

def sums(r):
    a, b = r.randrange(10), r.randrange(10)
    return r.choice([f"Question: What is {a} plus {b}?\nAnswer: {a + b}", f"Question: What is {a + b} minus {a}?\nAnswer: {b}"])

def build(seed, count):
    """Returns (train, held); no held-out document is also a training document."""
    r = random.Random(seed)
    docs = [sums(r) if r.random() < .05 else story(r) for _ in range(count)]
    cut = count * 4 // 5
    seen = set(docs[:cut])
    return docs[:cut], [d for d in docs[cut:] if d not in seen]
