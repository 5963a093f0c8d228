"""A grammar of short English stories, questions about them, small sums and facts. Deterministic by seed; the last fifth
is held out. Prints sample documents when run.

A story is a plot, a plot a list of steps, a step a list of ways to say it, of which one is drawn. [a|b] inside a
sentence draws again. What stands for {hero}, {thing}, {friend} ... is drawn once and holds for the whole story and the
questions about it, so a model that tells it well must look back."""
import random, re, sys
END = "<|endoftext|>"
GIRLS = ("Mia Anna Lily Rosa Emma Nora Ella Ruby Clara Ivy Zoe Alma Lucy Sara Molly Grace Jane Sue Amy Kate Eva Lena "
         "Maya Julia Daisy Hannah Sophie Nina").split()
BOYS = ("Tom Ben Max Leo Sam Finn Jack Theo Noah Emil Paul Otto Tim Bob John Peter Luke Adam Oscar Henry Billy Joe "
        "Mark Nick David Alex Felix Hugo").split()
PETS = "Rex Biscuit Pip Coco Rusty Shadow Pepper Teddy Buddy Fluffy Spot Ginger Bella Penny Nala Muffin".split()
ANIMALS = "dog cat rabbit mouse bear fox duck frog hedgehog squirrel pony goat bird pig owl".split()
HELPERS = "owl fox mouse dog cat rabbit hedgehog duck frog pony squirrel goat bear turtle crow".split()
RELATIVES = "mother father grandma grandpa uncle aunt".split()
TRAITS = "little kind brave clever shy curious cheerful small young quiet".split()
MOODS = "wise small kind gray old gentle funny quiet friendly clever big tiny".split()
COLOURS = "red blue green yellow white brown pink golden purple black orange silver".split()
TOYS = "ball kite hat boat book drum scarf cup doll lantern bell basket box bag coat ring spoon shell".split()
MENDED = "kite boat drum doll lantern cart chair clock bike".split()
CREATURES = "kitten puppy duckling lamb bunny turtle chick bird".split()
PLACES = ("the park|the garden|the forest|the beach|the farm|the old mill|the river|the hill|the lake|the meadow|"
          "the market|the harbor|the village|the school").split("|")
FAR = "the mountain|the sea|the big city|the castle|the island|the waterfall|the dark forest|the old tower".split("|")
HOMES = ("in a small house|in a cottage by the road|in a red house|in a house on the hill|on a little farm|"
         "near the forest|by the sea|in a quiet village").split("|")
HIDDEN = ("under a bush|behind a rock|in a tall tree|beside the path|in the long grass|near the bridge|"
          "under the bench|behind the fence|inside a hollow log|next to the well").split("|")
FOODS = "bread soup cake honey apples cheese berries pancakes cookies pears".split()
WEATHERS = "the wind came|it began to rain|a storm came|the snow fell|the fog rolled in|the sky grew dark".split("|")
SKILLS = "swim|ride a bike|climb a tree|dance|sing|whistle|paint|skate|read|catch a ball".split("|")
PLANTS = "sunflower|apple tree|rose|pumpkin|bean|strawberry plant".split("|")
SYLLABLES = ("ba be bi bo da di do ka ki ko la li lo lu ma mi mo mu na ni no pa pi ra ri ro sa si ta ti to va vi za "
             "zu").split()
NUMBERS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
           "seventeen eighteen nineteen twenty").split()

INTRO = [["[Once upon a time|Once upon a time|Once upon a time|Long ago], there [was|lived] {a_trait} {kind} named "
          "{hero}.",
          "There was [once |]{a_trait} {kind} named {hero}.",
          "There was [once |]{a_trait} {kind}. {His} name was {hero}.",
          "{hero} was {a_trait} {kind} who lived {home}.",
          "[Once upon a time|Many years ago], {home}, there lived {a_trait} {kind} named {hero}.",
          "This is the story of {hero}, {a_trait} {kind}.",
          "Once there was {a_trait} {kind} named {hero} who lived {home}.",
          "Once upon a time, {a_trait} {kind} named {hero} lived {home}[ with {his} {parent}|]."],
         ["{He} lived {home} with {his} {parent}.", "{hero} loved {his} {parent} very much.",
          "{Everyone} [liked|loved] {him}[ because {he} was so {trait2}|].",
          "{He} [loved|liked] to {hobby}[ and to eat {food}|].", "{hero} lived with {his} {parent}.", "", "", ""]]
START = ["One day, ", "One day, ", "One morning, ", "One [sunny|warm|cold] day, ",
         "One [spring|summer|winter] morning, ", "On [Monday|Friday|Sunday], ", "Early one morning, ", "Yesterday, ",
         "It was a [sunny|rainy|cold winter|warm summer] day. "]

PLOTS = {}

PLOTS["lost"] = [
    ["{start}{who} [went|walked|ran] to {place} with {his} {thing}.", "{start}{who} took {his} {thing} to {place}.",
     "{start}{who} was playing with {his} {thing} at {place}."],
    ["The sun was shining and the birds were singing.", "{He} [played|ran and jumped] and had so much fun.",
     "{He} was very happy.", ""],
    ["But [soon|suddenly|after a while] the {toy} was gone. {hero} was [very |so |]sad.",
     "Then {weather}, and {hero} lost the {thing}.",
     "{hero} [looked away|closed {his} eyes] for a moment, and when {he} looked again, the {thing} was gone."],
    ["{He} looked {wrong}, but it was not there.", "\"Oh no! Where is my {toy}?\" {he} cried.",
     "{He} [sat down and cried|began to cry] because {he} loved the {thing}.", ""],
    ["Just then {a_friend} came by. \"Why are you [sad|crying]?\" asked {friend}. \"I lost my {thing},\" said {hero}.",
     "{hero} met {a_friend}. \"Have you seen my {thing}?\" {he} asked. \"No, but I will help you "
     "[look|find it],\" said {friend}.",
     "{A_friend} heard {him}. \"What is wrong, {hero}?\" asked {friend}. \"My {thing} is gone,\" said {hero}."],
    ["They looked {wrong}, but they [only found a stone|found nothing].", "They looked and looked.",
     "They looked everywhere [together|for a long time]."],
    ["At last {friend} looked {hidden}. There was the {thing}!",
     "Then {friend} called, \"Here it is!\" The {thing} was {hidden}.",
     "In the end {friend} found the {thing} {hidden}."],
    ["\"Thank you!\" said {hero}. {He} was so happy that {he} [danced|hugged {friend}|laughed].",
     "{hero} was happy again and thanked {friend}.",
     "\"Thank you for helping me,\" said {hero}. \"You are welcome,\" said {friend}."],
    ["{hero} gave {friend} some {food}, and they became good friends.",
     "They played with the {toy} until the sun went down.",
     "{hero} took the {thing} home and told {his} {parent} about {friend}.", ""],
    ["From that day on, {hero} [always took good care|never lost sight] of the {thing}.",
     "{hero} learned that [it is good to ask for help|friends help each other].", ""]]

PLOTS["share"] = [
    ["{start}{who} took some {food} to {place}.", "{start}{who} had some {food} and was going to {place}.",
     "{start}{his} {parent} gave {hero} some {food}. \"Take it to {place},\" said {his} {parent}."],
    ["It smelled so good.", "{hero} was hungry and wanted to eat it all alone.", ""],
    ["On the way {he} met {a_friend}. \"I am so hungry,\" said {friend}.",
     "There {he} saw {a_friend} who had nothing to eat. {Friend} looked sad.",
     "{A_friend} was sitting {hidden}. \"I have not eaten all day,\" said {friend}."],
    ["{hero} wanted to keep the {food}. But then {he} [thought about {friend}|looked at {friend}] and felt sorry.",
     "{hero} thought about it for a moment.",
     "\"Do you like {food}?\" asked {hero}. \"Oh yes, very much,\" said {friend}."],
    ["\"You can have half of my {food},\" {he} said.", "So {he} sat down and shared the {food} with {friend}.",
     "\"Here, we can share,\" said {hero}, and gave {friend} half of the {food}."],
    ["They ate together and talked about {place}.", "The {food} tasted even better [now|together].", ""],
    ["\"You are kind,\" said {friend}. {Friend} gave {hero} {a_thing}.",
     "{Friend} was so happy that {fhe} [danced|sang]. Then {fhe} gave {him} {a_thing}."],
    ["{hero} went home with the {thing} and a smile.", "Now {hero} keeps the {thing} next to {his} bed.",
     "At home {he} showed the {thing} to {his} {parent}. \"I am proud of you,\" said {his} {parent}."],
    ["{hero} learned that it is good to share.", "[Sharing|A kind heart] makes everyone happy.", ""]]

PLOTS["storm"] = [
    ["{start}{who} and {a_friend} were playing at {place}.", "{start}{who} went to {place} with {a_friend}.",
     "{start}{who} met {a_friend} at {place}. They played all day."],
    ["{hero} had {his} {thing} with {him}.", "{hero} had brought {his} {thing}."],
    ["In the evening {weather}, and {friend} was afraid.", "Then {weather}. \"I want to go home,\" said {friend}.",
     "Suddenly {weather}. {Friend} began to shake because {fhe} was scared."],
    ["\"Do not be afraid,\" said {hero}. \"I am here.\"",
     "{hero} was [afraid|scared] too, but {he} wanted to be brave.", "\"Stay close to me,\" said {hero}."],
    ["They [hid|waited] {hidden} and held on to the {thing}.",
     "{hero} held up {his} {thing}, so that {friend} could see the way.",
     "{hero} gave {friend} the {thing} to hold. \"This will help you,\" {he} said."],
    ["They sang a song, and soon they were not afraid any more.", "Step by step they walked on, hand in hand.",
     "They told each other stories until it was over."],
    ["At last they [came home|were home]. {His} {parent} gave them [warm milk|some {food}].",
     "When it was over, the sun came out and they ran home.", "Then {his} {parent} came and took them home."],
    ["\"You are brave, {hero},\" said {friend}. {hero} smiled.",
     "\"Thank you, {hero},\" said {friend}. \"You helped me.\"", "{hero}'s {parent} was proud of {him}."],
    ["{hero} learned that being brave means helping a friend even when you are afraid.",
     "That night they slept well.", ""]]

PLOTS["birthday"] = [
    ["{start}it was the birthday of {a_friend}. {hero} wanted to give {friend} a present.",
     "{start}{who} heard that it was the birthday of {a_friend}.",
     "{start}{hero} wanted to make a party for {a_friend}."],
    ["{He} thought about it for a long time.", "\"What can I give to {friend}?\" {he} asked {his} {parent}.",
     "But {he} did not have any money."],
    ["{hero} went to {place} and found {a_thing}.", "{He} made {a_thing} with {his} own hands.",
     "{He} went to {place} and traded {his} {food} for {a_thing}."],
    ["{He} put the {thing} in a box and hid it {hidden}.", "{He} hid the {thing} {hidden}. It was a secret."],
    ["{His} {parent} made {food} for the party.", "Then {he} made {food} for everyone.", ""],
    ["\"Surprise!\" {everyone} shouted when {friend} came.",
     "In the afternoon {friend} came. \"Happy birthday!\" said {hero}.",
     "When {friend} came, {everyone} sang a birthday song."],
    ["{Friend} opened the box and saw the {thing}. \"It is beautiful!\" said {friend}.",
     "{hero} gave {friend} the {thing}. \"I always wanted {a_thing}!\" said {friend}."],
    ["They ate {food} and [danced|played games|sang] until it was dark.",
     "{Friend} hugged {hero}. It was the best birthday ever.", "They laughed and played with the {toy} all day."],
    ["{hero} was happy because {friend} was happy.", "{hero} learned that giving is as nice as getting.",
     "It was a [wonderful|very happy] day.", ""]]

PLOTS["pet"] = [
    ["{start}{who} heard a small sound at {place}.", "{start}{who} was walking to {place} when {he} heard a cry.",
     "{start}{who} went to {place} with {his} {parent}. There {he} heard a soft cry."],
    ["It was {a_creature}. It sat {hidden} and was cold and hungry.",
     "A little {colour} {creature} was sitting {hidden}. It had hurt its leg.",
     "{He} looked {hidden} and saw {a_creature}. It was all alone."],
    ["\"Do not be afraid, little {creature},\" said {hero}. {He} gave it some {food}.",
     "{hero} felt sorry for the {creature}. {He} picked it up and held it close.",
     "\"Where is your mother?\" asked {hero}. The {creature} only looked at {him}."],
    ["\"Can we keep it?\" {he} asked {his} {parent}. \"Yes, if you take care of it,\" said {his} {parent}.",
     "{hero} took the {creature} home and showed it to {his} {parent}.",
     "{He} ran home with the {creature}. \"Look what I found!\" {he} said to {his} {parent}."],
    ["They made a warm bed for it in {a_thing2}.", "{hero} washed it and gave it warm milk.",
     "{His} {parent} gave it some water and a soft bed."],
    ["{hero} named the {creature} {pet}.", "\"I will call you {pet},\" said {hero}."],
    ["Every day {hero} and {pet} [played together|went to {place} together|ran in the grass].",
     "{pet} grew big and strong.", "At night {pet} slept next to {hero}."],
    ["{pet} was a happy {creature}, and {hero} was never lonely again.",
     "{hero} and the {colour} {creature} became best friends.", "{hero} loved {pet}, and {pet} loved {hero}."],
    ["{hero} learned that a pet needs love and care.", ""]]

PLOTS["journey"] = [
    ["{start}{his} {parent} was ill. \"Only the {colour} flower from {far} can help,\" said {a_friend}.",
     "{start}{who} heard of {a_flower} that grows near {far}. {He} wanted to bring it to {his} {parent}.",
     "{start}{a_friend} told {hero} about {a_flower} at {far}. {hero} wanted to find it for {his} {parent}."],
    ["{hero} packed some {food} and went on {his} way.",
     "\"I will go and get it,\" said {hero}. {He} took some {food} with {him}.",
     "So {he} put some {food} in {his} bag and set out for {far}."],
    ["First {he} came to {place}. Then {he} crossed a bridge.",
     "The way was long. {He} walked past {place} and over a hill.", "{He} walked all day and slept {wrong} at night."],
    ["On the way {weather}, but {hero} did not turn back.",
     "{He} was tired, but {he} thought of {his} {parent} and walked on.",
     "\"I must not give up,\" {he} said to {himself}."],
    ["At last {he} came to {far}. The {colour} flower grew {hidden}.",
     "In the end {he} reached {far}, and {hidden} {he} saw the {colour} flower."],
    ["{He} picked it and ran home as fast as {he} could.", "{He} put the flower into {his} bag and went home.",
     "{He} took it [very |]carefully and went back the same way."],
    ["{His} {parent} smelled the {colour} flower and smiled.",
     "{hero} gave the {colour} flower to {his} {parent}. Soon {his} {parent} was well again."],
    ["\"You went so far for me,\" said {his} {parent}. \"Thank you, {hero}.\"",
     "They were both very happy and ate {food} together.", "\"You are a brave {kind},\" said {his} {parent}."],
    ["{hero} learned that love gives us strength.", "And they lived happily ever after.", ""]]

PLOTS["wish"] = [
    ["{start}{who} found {a_thing} {hidden}.", "{start}{who} went to {place} and found {a_thing} {hidden}."],
    ["When {he} touched it, {a_friend} came out of the {toy}!",
     "{He} rubbed the {toy}, and suddenly {a_friend} stood before {him}."],
    ["\"You have one wish,\" said {friend}.",
     "\"I can give you one wish, {hero},\" said {friend}. \"What do you want?\""],
    ["{hero} thought and thought. {He} could wish for gold or for {food}.",
     "\"I could wish for a castle,\" {he} thought.", "\"May I think about it?\" asked {hero}."],
    ["Then {he} thought of {his} {parent}, who was [sad|tired|ill].",
     "But then {he} saw {his} {parent}, who looked so [sad|tired]."],
    ["\"I wish that my {parent} is happy,\" said {hero}.", "\"Please make my {parent} happy,\" {he} said."],
    ["\"That is a good wish,\" said {friend}, and [there was a bright light|it was done].",
     "{Friend} smiled and clapped, and the {thing} began to shine."],
    ["When {hero} came home, {his} {parent} was singing and laughing.",
     "{His} {parent} ran to {him} and hugged {him}. \"I feel so happy today!\""],
    ["{hero} kept the {thing} for ever.", "{hero} put the {thing} next to {his} bed.",
     "{hero} smiled, and never told anyone about the {thing}."],
    ["{hero} learned that the best wishes are for others.", "And they lived happily ever after.", ""]]

PLOTS["mend"] = [
    ["{start}{who} wanted to play with {his} {colour} {broken}, but it was broken.",
     "{start}{who} dropped {his} {colour} {broken}, and it broke.",
     "{start}{who} found {a_broken} {hidden}. It was broken."],
    ["{hero} was sad because {he} [liked|loved] the {broken} so much.", "\"Oh no, my {broken}!\" said {hero}.",
     "{He} did not know what to do."],
    ["{He} tried to mend it, but it was too hard.", "{He} tried and tried, but the {broken} did not work.", ""],
    ["{He} took it to {a_friend} at {place}. \"Can you help me mend my {broken}?\" {he} asked.",
     "Then {a_friend} came by. \"I know how to mend a {broken},\" said {friend}.",
     "{His} {parent} sent {him} to {a_friend} at {place}. So {hero} took the {broken} there."],
    ["\"We need [glue and wood|a hammer and nails|string and paper],\" said {friend}.",
     "{Friend} looked at it for a while. \"We can do it together,\" said {friend}."],
    ["{hero} held the {broken}, and {friend} worked.", "They worked all [day|morning] long.",
     "{hero} found the [parts|wood], and {friend} put them together."],
    ["At last the {colour} {broken} was as good as new!", "In the evening the {broken} was whole again."],
    ["{hero} jumped for joy. \"Thank you, {hero_friend}!\" {he} said.",
     "\"Look, it works!\" cried {hero}. {He} was so proud.", "{hero} gave {friend} some {food} to say thank you."],
    ["Then they played with the {colour} {broken} together.",
     "{hero} carried the {broken} home and showed it to {his} {parent}.", ""],
    ["{hero} learned that broken things can be mended.", "{hero} learned that it is easier with a friend.", ""]]

PLOTS["quarrel"] = [
    ["{start}{who} and {a_friend} were at {place}. They found {a_thing} {hidden}.",
     "{start}{who} and {a_friend} played with {a_thing} at {place}."],
    ["\"It is mine!\" said {hero}. \"No, it is mine!\" said {friend}.",
     "Both wanted to have the {thing}. \"I saw it first!\" said {hero}. \"No, I did!\" said {friend}.",
     "\"Give it to me!\" shouted {hero}. \"No!\" said {friend}. \"I want the {toy} too.\""],
    ["They pulled and pulled, and the {toy} fell down.", "{hero} was so angry that {he} ran away.",
     "{Friend} was angry and went away."],
    ["At home {hero} was sad. {He} missed {friend}.", "Then {hero} was all alone, and playing alone was no fun.",
     "{hero} told {his} {parent}. \"A friend is worth more than {a_toy},\" said {his} {parent}."],
    ["So {he} went to look for {friend}.", "The next day {he} went back to {place}.",
     "{He} took some {food} and went to {friend}."],
    ["\"I am sorry,\" said {hero}. \"You can have the {thing}.\"", "\"I was wrong, and I am sorry,\" {he} said."],
    ["\"I am sorry too,\" said {friend}. \"Let us share it.\"",
     "{Friend} smiled. \"We can play with the {toy} together,\" said {friend}."],
    ["They hugged and [laughed|were friends again].",
     "So they took turns with the {thing}, and it was much more fun.", "Then they ate {food} and were friends again."],
    ["{hero} learned that it is good to say sorry.", "Now they share the {thing} every day.",
     "{hero} and {friend} never fought about {a_toy} again."]]

PLOTS["rescue"] = [
    ["{start}{who} was walking near {place} with {his} {thing}.",
     "{start}{who} was on the way to {place} with {his} {thing}."],
    ["Suddenly {he} heard a voice. \"Help! Help!\" it cried.", "Then {he} heard someone cry, \"Please help me!\""],
    ["It was {a_friend} who was stuck {trap}.", "{He} looked {trap} and saw {a_friend}. {Friend} could not get out."],
    ["\"What happened?\" asked {hero}. \"{Weather}, and I fell,\" said {friend}.",
     "\"How did you get there?\" asked {hero}. \"I was looking for {food},\" said {friend}.",
     "\"I have been here all night,\" said {friend}."],
    ["{hero} pulled and pulled, but {he} was not strong enough.", "\"Do not worry, I will help you,\" said {hero}.",
     ""],
    ["Then {he} had an idea. \"Hold on to my {thing}!\" {he} said.",
     "{hero} had a good idea. {He} held out {his} {thing}, and {friend} held on to it."],
    ["{He} pulled as hard as {he} could, and {friend} was free!", "One, two, three! {Friend} came out."],
    ["\"You saved me!\" said {friend}. \"How can I thank you?\"",
     "\"Thank you, {hero},\" said {friend}. \"You are very {trait2}.\""],
    ["They went home together and ate {food}.",
     "{Friend} gave {hero} some {food}, and they ate it together at {place}.",
     "{hero} took {friend} home, and {his} {parent} made {food}."],
    ["From that day on, they were best friends.", "{hero} was proud that {he} had helped.",
     "{hero} learned that it is good to help others."]]

PLOTS["plant"] = [
    ["{start}{his} {parent} gave {hero} a seed.", "{start}{who} found a seed {hidden}.",
     "{start}{a_friend} gave {hero} a small seed."],
    ["\"What is it?\" {he} asked. \"Wait and see,\" said {his} {parent}.",
     "{hero} put it in the ground near {place}.", "{He} put the seed in {a_pot}."],
    ["Every day {he} gave it water.", "{He} watered it every morning.", "{He} gave it water and sang to it."],
    ["But nothing happened. \"Why does it not grow?\" {he} asked.",
     "Day after day {he} looked, but there was nothing to see. {hero} was sad.", "\"Nothing is growing,\" {he} said."],
    ["\"You must wait,\" said {his} {parent}. \"Good things take time.\"",
     "\"Be patient, {hero},\" said {his} {parent}."],
    ["Then {weather}, and {hero} was afraid for {his} seed. {He} covered it with {his} {thing}.",
     "One night it was very cold. {hero} covered it with {his} {thing}.", ""],
    ["One morning there was a small green leaf!",
     "After many days {he} saw something green. \"It is growing!\" {he} shouted."],
    ["It grew and grew, and soon it was a big {plant}.", "In the summer it was a beautiful {plant}."],
    ["{Everyone} came to look at the {plant}.", "{hero} was very proud of {his} {plant}.",
     "{hero} and {his} {parent} sat next to the {plant} and ate {food}."],
    ["{hero} learned to be patient.", "{hero} learned that good things take time.", ""]]

PLOTS["learn"] = [
    ["{start}{who} wanted to learn to {skill}.",
     "{start}{who} saw {a_friend} at {place}. {Friend} could {skill} very well. "
     "\"I want to {skill} too,\" said {hero}."],
    ["{He} tried, but it was too hard. {He} [fell down|made a mistake].",
     "But {he} was afraid that the others would laugh.", "{He} tried once, and it did not go well."],
    ["\"I will never learn to {skill},\" said {hero}. {He} felt sad.",
     "{hero} wanted to give up. {He} was [sad|angry]."],
    ["Then {a_friend} said, \"I will show you how.\"",
     "\"I could not {skill} at first,\" said {a_friend}. \"You must try again.\""],
    ["They went to {place} every day.", "Every morning they met at {place}.", "{Friend} helped {him} every day."],
    ["{hero} always wore {his} {colour} [hat|scarf|coat] for good luck.", ""],
    ["First it was bad. Then it was better.", "{hero} tried again and again.",
     "On the first day {he} made many mistakes. On the second day {he} made only a few."],
    ["And one day {he} could {skill}! \"Look at me!\" {he} shouted.",
     "At last {hero} could {skill}. {He} was so happy."],
    ["{Friend} clapped. \"Well done, {hero}!\"", "{His} {parent} came to watch and was very proud.",
     "\"You did it!\" said {friend}. They ate {food} to celebrate."],
    ["{hero} learned that you must not give up.", "Now {hero} can {skill} better than anyone.",
     "{hero} learned that you get better if you try again."]]

PLOTS["truth"] = [
    ["{start}{who} was playing in the house with {his} {thing}.",
     "{start}{who} was running around the table with {his} {thing}."],
    ["{He} was not careful, and {his} {parent}'s {colour2} [cup|vase|plate|bowl] fell down and broke.",
     "The {toy} hit {his} {parent}'s {colour2} [cup|vase|plate|bowl], and it broke."],
    ["{hero} was scared. {He} hid the pieces {spot}.", "\"Oh no!\" {he} thought. {He} put the pieces {spot}."],
    ["{His} {parent} came home. \"Did you see what happened?\" asked {his} {parent}. \"No,\" said {hero}.",
     "\"Who broke it?\" asked {his} {parent}. \"It was the cat,\" said {hero}."],
    ["But {hero} felt bad. {He} could not [eat|sleep|play].",
     "That night {hero} could not sleep because {he} had not told the truth."],
    ["{He} asked {a_friend} what to do. \"Tell the truth,\" said {friend}.",
     "\"You should tell the truth,\" said {a_friend}.", ""],
    ["So {he} went to {his} {parent}. \"I broke it. I am sorry,\" {he} said.",
     "Then {he} ran to {his} {parent} and cried, \"It was me. I am sorry!\""],
    ["{His} {parent} hugged {him}. \"Thank you for telling me the truth,\" said {his} {parent}.",
     "{His} {parent} was not angry. \"It was only a thing,\" said {his} {parent}. \"But the truth matters.\""],
    ["They mended it together and ate {food}.", "{hero} felt much better, and they ate {food} together."],
    ["{hero} learned that it is best to tell the truth.", "From that day on, {hero} always told the truth."]]

PLOTS["noise"] = [
    ["One night, {who} could not sleep. There was a strange noise.",
     "In the middle of the night, {who} woke up. There was a strange noise.",
     "One [cold|dark|quiet] night, {who} heard a strange noise."],
    ["It came from {place_in_house}.", "\"What is that?\" {he} whispered. It came from {place_in_house}."],
    ["{hero} was scared, but {he} was also curious.", "{He} was afraid. \"Maybe it is a monster,\" {he} thought.",
     "{He} hid under the bed. But the noise did not stop."],
    ["{He} took {his} {thing} and went to look.", "{He} held {his} {thing} tight and walked on slowly."],
    ["\"Who is there?\" {he} asked. [Nobody answered.|It was quiet.]", "Step by step {he} came closer.", ""],
    ["But it was not a monster. It was {a_friend}!", "And what did {he} see? It was only {a_friend}!"],
    ["\"I am sorry,\" said {friend}. \"I was hungry and looked for {food}.\"",
     "\"I was cold, and {weather},\" said {friend}. \"May I stay?\""],
    ["{hero} laughed. {He} gave {friend} some {food}.", "\"Come in,\" said {hero}. \"We can eat {food} together.\""],
    ["Then they both slept well.", "Soon they were fast asleep next to the {thing}.",
     "In the morning {hero} told {his} {parent} all about it."],
    ["{hero} learned that many things are not as bad as they seem.", "Now {hero} is not afraid of noises any more.",
     ""]]

PLOTS["race"] = [
    ["{start}there was a big race at {place}.", "{start}{who} heard of a big race at {place}. {He} wanted to win it."],
    ["The prize was {a_thing}.", "\"The winner gets {a_thing},\" said {his} {parent}."],
    ["{hero} ran against {a_friend}. \"I am faster than you,\" said {friend}.",
     "{A_friend} wanted to win too. \"You will never win,\" {friend} said to {hero}."],
    ["One, two, three, go! They ran as fast as they could.", "They ran and ran. {hero} was in front."],
    ["But then {friend} fell {near}. \"My leg hurts!\" cried {friend}.",
     "Suddenly {friend} fell down {near} and began to cry."],
    ["{hero} saw it. {He} could win now, but {he} stopped.",
     "{hero} thought about the {thing}. But {he} turned back."],
    ["\"Let me help you,\" {he} said. They walked on together.",
     "{He} helped {friend} up, and side by side they came in last."],
    ["\"I am sorry that you did not win,\" said {friend}. \"A friend is better than {a_thing},\" said {hero}.",
     "\"Why did you help me?\" asked {friend}. \"Because you are my friend,\" said {hero}."],
    ["{Everyone} clapped, and {hero} got the {thing} after all.", "In the end they shared the prize and some {food}."],
    ["{hero} learned that helping is better than winning.", "It was the best race of all.", ""]]

PLOTS["treasure"] = [
    ["{start}{who} found an old map {hidden}.", "{start}{a_friend} showed {hero} an old map."],
    ["There was {a_cross} on it, near {far}.", "The map showed the way to {far}. {A_cross} was on it."],
    ["\"Let us find the treasure!\" said {hero} to {a_friend2}.",
     "\"A treasure!\" said {hero}. \"Will you come with me?\" {he} asked {a_friend2}."],
    ["They took some {food} and went to {far}.", "They walked past {place} and came to {far}."],
    ["They dug and dug.", "They looked for the {colour2} cross for a long time.",
     "\"I am tired,\" said {friend}. \"Just a little more,\" said {hero}."],
    ["At last they found an old box with {a_thing} in it.", "Then they found it. In a box there was {a_thing}!"],
    ["\"It is not gold,\" said {friend}, \"but it is beautiful.\"", "\"What a lovely {thing}!\" said {friend}.",
     "There was also a note. It said: \"The best treasure is a friend.\""],
    ["They went home and showed the {thing} to {his} {parent}.", "On the way back they ate {food} and sang."],
    ["{hero} gave the {thing} to {friend}, and {friend} was very happy.",
     "They put the {thing} where both could see it.", "Now the {thing} stands in {hero}'s house."],
    ["{hero} learned that a friend is the best treasure.", "It was a great adventure.", ""]]

PLOTS["count"] = [
    ["{start}{who} had {n} {fruit} in {his} {colour} basket.",
     "{start}{who} went to {place} and picked {n} {fruit}. {He} put them in {his} {colour} basket."],
    ["Then {he} met {a_friend}. \"I am hungry,\" said {friend}.", "{A_friend} came by and looked at the basket.",
     "On the way home {he} saw {a_friend}."],
    ["{hero} gave {friend} {m} of the {fruit}.", "\"Please take {m},\" said {hero}."],
    ["Now there were {rest} {fruit} in the basket.", "So {hero} had {rest} {fruit} left."],
    ["\"Thank you,\" said {friend}. \"You are so kind.\"", "{Friend} ate them all and was happy."],
    ["At home {hero} gave the {rest} {fruit} to {his} {parent}, and they made a cake.",
     "{hero} took the {rest} {fruit} home. {His} {parent} made a cake."],
    ["They all sat down and ate it together.",
     "\"Where are the others?\" asked {his} {parent}. \"I gave {m} to {friend},\" said {hero}.", ""],
    ["{His} {parent} smiled. \"That was good of you.\"",
     "{hero} was not sad to have fewer {fruit}, because {he} had a new friend."],
    ["{hero} learned that it is good to share.", ""]]

PLOTS["way"] = [
    ["{start}{who} was looking for {fruit} near {place}.", "{start}{who} followed a {creature} near {place}.",
     "{start}{who} went for a walk near {place} with {his} {thing}."],
    ["{He} went farther and farther.", "{He} was so busy that {he} did not look at the path.",
     "{He} sang a song and did not see how late it was."],
    ["Then {weather}, and {he} did not know the way home.", "Suddenly {he} was all alone. {hero} was lost.",
     "Soon it was dark, and {hero} could not find the path."],
    ["{hero} sat down {hidden} and began to cry.", "\"{Parent}! {Parent}!\" {he} called. But nobody answered.",
     "{He} was cold and scared because {he} was alone."],
    ["Then {a_friend} saw {him}. \"Are you lost?\" asked {friend}.",
     "\"Who is crying?\" asked {a_friend}. \"I am lost,\" said {hero}.",
     "{hero} saw a light. It was {a_friend} with a lantern."],
    ["\"I want to go home to my {parent},\" said {hero}.", "\"I live {home},\" said {hero}. \"Do you know the way?\""],
    ["\"I know the way. Follow me,\" said {friend}.", "\"Do not cry. I will take you home,\" said {friend}."],
    ["They walked over a bridge and past {place2}.", "{Friend} went first, and {hero} walked behind.",
     "On the way they ate some {food} and sang."],
    ["At last {hero} saw {his} house. {His} {parent} was waiting at the door.",
     "Soon they were there. {His} {parent} ran to {hero} and hugged {him}."],
    ["\"Thank you for bringing {hero} home,\" {his} {parent} said to {friend}.",
     "\"I was so worried,\" said {his} {parent}. \"Thank you, {hero_friend}!\""],
    ["They all ate {food} together.", "{Friend} stayed for the night.", ""],
    ["{hero} learned that you should look at the path.", "From that day on, {hero} and {friend} were good friends.",
     "{hero} never went so far alone again."]]

PLOTS["new"] = [
    ["{start}{hero} heard that {a_friend} was new in the village.",
     "{start}{who} met {a_friend} at {place}. {Friend} was new there."],
    ["Nobody played with {friend}.", "{Friend} sat {hidden} all alone.", "{Friend} was too shy to talk to anyone."],
    ["\"Why are you alone?\" asked {hero}. \"I do not have any friends here,\" said {friend}.",
     "{hero} saw that {friend} was sad. \"Hello, I am {hero},\" {he} said."],
    ["\"Do you want to play with my {thing}?\" asked {hero}.",
     "{hero} had {a_thing}. \"Come, let us play with it,\" {he} said."],
    ["{Friend} smiled for the first time.", "\"Yes, I would love to,\" said {friend}.",
     "\"I have never seen such a lovely {toy},\" said {friend}."],
    ["{hero} showed {friend} the way to {place2}.", "They played with the {thing} all day.",
     "They went to {place2} and played with the {thing}."],
    ["Then the others came and wanted to play too.",
     "{Everyone} came and looked. \"This is my new friend,\" said {hero}.", ""],
    ["{Friend} could {skill} very well, and showed it to {everyone}.",
     "\"I can teach you to {skill},\" said {friend}. {hero} was happy to learn it."],
    ["In the evening {hero}'s {parent} made {food} for them.", "They ate {food} together.", ""],
    ["{Friend} was not alone any more.", "Now {friend} has many friends.", "{hero} was happy to have a new friend."],
    ["{hero} learned that a kind word can make a friend.", "From that day on, they played together every day.", ""]]

PLOTS["cook"] = [
    ["{start}{who} wanted to make {meal} for {his} {parent}.",
     "{start}{his} {parent} was tired. {hero} wanted to make {meal} for {his} {parent}."],
    ["But there was no [milk|flour|salt|sugar|butter] in the house.",
     "{He} looked in the kitchen, but the {colour} {pot} was empty."],
    ["So {he} took {his} {thing} and went to {place}.", "{He} put on {his} {colour} hat and went to {place}."],
    ["There {he} met {a_friend}. \"What do you need?\" asked {friend}.", "{hero} asked {a_friend} for help."],
    ["\"I want to make {meal} for my {parent},\" said {hero}.", "{hero} told {friend} about {his} {parent}."],
    ["\"I have what you need,\" said {friend}. \"You can have it if I may help you.\"",
     "{Friend} gave {hero} everything and came along."],
    ["They mixed and stirred, and soon the kitchen was a mess.", "{hero} stirred, and {friend} sang a song.",
     "{Friend} dropped the spoon, and they both laughed."],
    ["It smelled wonderful.", "At last it was done.", "\"It is ready!\" said {hero}."],
    ["{His} {parent} came home. \"What smells so good?\"", "\"Surprise!\" they said when {his} {parent} came in."],
    ["\"This is the best meal of my life,\" said {his} {parent}.",
     "{His} {parent} ate and smiled. \"You are so {trait2}, {hero}.\""],
    ["They all sat at the table and ate together.", "There was enough for everyone.", ""],
    ["{hero} learned that it is nice to do something for others.", "Then they cleaned the kitchen together.", ""]]

PLOTS["build"] = [
    ["{start}{who} wanted to build {a_built}.",
     "{start}{who} saw {a_built} at {place}. \"I want to build {a_built} too,\" {he} said."],
    ["\"You are too small,\" said {a_friend}.", "{He} asked {a_friend} to help. \"I have no time,\" said {friend}.",
     "{A_friend} laughed. \"You cannot do that,\" said {friend}."],
    ["{hero} was sad, but {he} began.", "\"Then I will do it alone,\" said {hero}.", "But {hero} did not listen."],
    ["{He} worked all morning near {place}.", "It was hard, and {he} was soon tired.",
     "{He} used what {he} found {hidden}."],
    ["Then {weather}, and the {built} fell down.", "But the {built} was not strong, and it broke."],
    ["{hero} began to cry.", "\"Now I must begin again,\" said {hero}. {He} was angry.",
     "{He} sat down {hidden} and was sad."],
    ["{Friend} saw it and was sorry. \"I should have helped you,\" said {friend}.",
     "\"I am sorry,\" said {friend}. \"Let me help you now.\""],
    ["Together they built it again, and it was much stronger.",
     "They worked side by side, and soon the {built} was done."],
    ["{hero} put {a_thing} on it.", "On top they put {a_thing}.", "They painted it {colour}."],
    ["\"It is the best {built} in the world!\" said {hero}.", "{Everyone} came to look at the {built}.",
     "{His} {parent} brought them {food}."],
    ["{hero} learned that together we can do more.", "{hero} and {friend} played there every day.",
     "They were both very proud."]]

ANY = [("Who is the story about?", "{hero}"), ("What is the name of the {kind}?", "{hero}")]
WITH_FRIEND = [("Who was the friend of {hero}?", "{friend}")]
THING = [("What colour was the {toy}?", "{thing_colour}")]
ASKED = {
    "lost": THING + [("Who lost the {toy}?", "{hero}"), ("Where was the {toy}?", "{hidden}"),
        ("Who found the {toy}?", "{friend}"), ("What did {hero} lose?", "{a_thing}"),
        ("Who helped {hero}?", "{friend}")],
    "share": THING + [("Who was hungry?", "{friend}"), ("What did {hero} share?", "{food}"),
        ("What did {friend} give {hero}?", "{a_thing}")],
    "storm": THING + [("Who was afraid?", "{friend}"), ("Who was brave?", "{hero}"),
        ("What did {hero} have?", "{a_thing}"), ("Where did they play?", "at {place}")],
    "birthday": THING + [("Whose birthday was it?", "{friend}'s"), ("What did {friend} get?", "{a_thing}"),
        ("Where was it hidden?", "{hidden}")],
    "pet": [("What did {hero} find?", "{a_creature}"), ("What colour was the {creature}?", "{colour}"),
        ("What was the {creature} called?", "{pet}"), ("Where was the {creature}?", "{hidden}")],
    "journey": [("Where did the flower grow?", "at {far}"), ("What colour was the flower?", "{colour}"),
        ("Who was ill?", "{his} {parent}"), ("Where did {hero} go?", "to {far}")],
    "wish": THING + [("What did {hero} find?", "{a_thing}"), ("Where was the {toy}?", "{hidden}"),
        ("Who gave {hero} a wish?", "{friend}")],
    "mend": [("What was broken?", "the {broken}"), ("What colour was the {broken}?", "{colour}"),
        ("Who helped {hero}?", "{friend}")],
    "quarrel": THING + [("What did they fight about?", "{a_thing}"), ("Who said sorry first?", "{hero}"),
        ("Where were they?", "at {place}")],
    "rescue": THING + [("Who was stuck?", "{friend}"), ("Who helped {friend}?", "{hero}"),
        ("Where was {friend}?", "{trap}")],
    "plant": [("What did {hero} grow?", "{a_plant}"), ("What did the seed become?", "{a_plant}")],
    "learn": [("What did {hero} learn?", "to {skill}"), ("Who helped {hero}?", "{friend}"),
        ("Where did they go?", "to {place}")],
    "truth": THING + [("Where were the pieces?", "{spot}"), ("Who broke it?", "{hero}"),
        ("What did {hero} play with?", "{a_thing}")],
    "noise": [("Who made the noise?", "{friend}"), ("Where did the noise come from?", "{place_in_house}"),
        ("What did {hero} take?", "{his} {thing}")],
    "race": THING + [("What was the prize?", "{a_thing}"), ("Who fell down?", "{friend}"),
        ("Where was the race?", "at {place}")],
    "treasure": THING + [("What did they find?", "{a_thing}"), ("What colour was the cross?", "{colour2}"),
        ("Where was the treasure?", "near {far}")],
    "way": [("Who was lost?", "{hero}"), ("Who helped {hero}?", "{friend}"), ("Where did {hero} want to go?", "home")],
    "new": THING + [("Who was new?", "{friend}"), ("What did they play with?", "{a_thing}"),
        ("Who was kind to {friend}?", "{hero}")],
    "cook": [("What did {hero} make?", "{meal}"), ("Who helped {hero}?", "{friend}"),
        ("Who did {hero} cook for?", "{his} {parent}"), ("Where did {hero} go?", "to {place}")],
    "build": [("What did {hero} build?", "{a_built}"), ("Who helped {hero}?", "{friend}"),
        ("Who was sorry?", "{friend}")],
    "count": [("How many {fruit} did {hero} have at first?", "{n}"), ("How many {fruit} did {friend} get?", "{m}"),
        ("How many {fruit} were left?", "{rest}"), ("What colour was the basket?", "{colour}")]}
NO_FRIEND = ["journey", "plant", "pet", "truth", "learn"]

def an(noun): return ("an " if noun[0] in "aeiou" else "a ") + noun
def up(text): return text[:1].upper() + text[1:]

def draw(r, text):
    """Replaces each innermost [a|b] by one of its parts until none is left."""
    while "[" in text:
        text = re.sub(r"\[([^\[\]]*)\]", lambda m: r.choice(m[1].split("|")), text)
    return text

def invented(r):
    return up("".join(r.choice(SYLLABLES) for _ in range(r.choice([2, 2, 3]))) + r.choice(["", "", "n", "x"]))

SLOTS = dict(
    trait=TRAITS, trait2=["kind", "brave", "clever", "strong"], pot=["pot", "jar", "cup"], parent=None, colour=COLOURS,
    colour2=COLOURS, toy=TOYS, broken=MENDED, creature=CREATURES, place=PLACES, far=FAR, home=HOMES, food=FOODS,
    weather=WEATHERS, skill=SKILLS, plant=PLANTS, everyone=["everyone", "all the animals", "all the children"],
    meal=["bread", "soup", "cake", "pancakes", "cookies", "a pie"],
    hobby=["sing", "dance", "play", "read", "run in the grass", "look at the stars"],
    spot=["under the bed", "behind the door", "in a box", "under the table", "under a chair"],
    near=["near the bridge", "beside the path", "next to the well", "behind a rock"],
    trap=["in a deep hole", "in a tall tree", "under a rock", "inside a hollow log", "behind the fence"],
    built=["tree house", "snowman", "boat", "bridge", "castle", "cart"],
    fruit="apples pears nuts plums berries cherries".split(),
    place_in_house=["the kitchen", "the roof", "the garden", "the cellar", "the old box"])

def befriend(r, f):
    """Draws the friend: an animal, or a child who has a name."""
    if r.random() < .7:
        who = r.choice([h for h in HELPERS if h != f["kind"]])
        return dict(a_friend=an(r.choice(MOODS) + " " + who), friend="the " + who, hero_friend=who, fhe="it")
    name = r.choice([x for x in GIRLS + BOYS if x != f["hero"]])
    return dict(a_friend=f["his"] + " friend " + name, friend=name, hero_friend=name,
                fhe="she" if name in GIRLS else "he")

def cast(r):
    """Draws whoever and whatever is in a story; one word for each slot."""
    girl, animal = r.random() < .5, r.random() < .3
    f = (dict(he="she", his="her", him="her", himself="herself") if girl
         else dict(he="he", his="his", him="him", himself="himself"))
    f["hero"] = invented(r) if r.random() < .15 else r.choice(PETS if animal else GIRLS if girl else BOYS)
    f["kind"] = r.choice(ANIMALS) if animal else "girl" if girl else "boy"
    for slot, words in SLOTS.items():
        f[slot] = r.choice(words or (["mother", "father"] if animal else RELATIVES))
    f["hidden"], f["wrong"] = r.sample(HIDDEN, 2)
    f["place"], f["place2"] = r.sample(PLACES, 2)
    f["pet"] = r.choice([p for p in PETS if p != f["hero"]])
    n = r.randrange(4, 13); m = r.randrange(2, n - 1)
    f.update(n=NUMBERS[n], m=NUMBERS[m], rest=NUMBERS[n - m], thing_colour=f["colour"])
    f["thing"] = f["colour"] + " " + f["toy"]
    f.update(befriend(r, f))
    f["a_friend2"] = f["a_friend"]
    for slot in "trait toy thing plant built".split(): f["a_" + slot] = an(f[slot])
    for slot, noun in dict(creature=f["creature"], flower="flower", broken=f["broken"]).items():
        f["a_" + slot] = an(f["colour"] + " " + noun)
    for slot, noun in dict(pot="pot", cross="cross", thing2=r.choice(["basket", "box", "hat"])).items():
        f["a_" + slot] = an(f["colour2"] + " " + noun)
    for slot in "he his friend a_friend everyone weather fhe parent a_cross".split(): f[up(slot)] = up(f[slot])
    return f

def tell(r, f, plot):
    """The story's sentences, filled in. A friend who was named before is not introduced a second time."""
    lines = [r.choice(step) for step in PLOTS[plot]]
    text, intro = [], r.random() < .6 or not ("{who}" in lines[0] or "{hero}" in lines[0])
    if intro: text += [r.choice(INTRO[0]), r.choice(INTRO[1])]
    if intro and "lived" in text[0] and "lived" in text[1]: text.pop()
    new = "a girl named {hero}" if f["kind"] == "girl" else "a boy named {hero}"
    if f["kind"] not in ("girl", "boy"): new = "{a_trait} {kind} named {hero}"
    f["who"] = f["hero"] if intro or (f["kind"] in ("girl", "boy") and r.random() < .8) else new.format(**f)
    start = draw(r, r.choice(START))
    known = False
    for line in lines:
        if known:
            for first, later in (("{a_friend}", "{friend}"), ("{A_friend}", "{Friend}"), ("{a_friend2}", "{friend}")):
                line = line.replace(first, later)
        known = known or "a_friend" in line.lower()
        text.append(line)
    text = [draw(r, t).format(start=start, **f) for t in text if t]
    return " ".join(up(t) for t in text)

def answer(text): return up(text) + ("" if text[-1] in "!?" else ".")

def questions(r, f, plot):
    about = ANY + ([] if plot in NO_FRIEND else WITH_FRIEND) + 2 * ASKED[plot]
    asked = dict(r.sample(about, r.choice([1, 1, 2, 3])))
    return "".join("\n\nQuestion: %s\nAnswer: %s" % (q.format(**f), answer(a.format(**f))) for q, a in asked.items())

def story(r):
    f, plot = cast(r), r.choice(list(PLOTS))
    text = tell(r, f, plot)
    kind = r.random()
    if kind < .12: # told on request
        about = ["{hero}", "{a_kind} named {hero}", "{a_kind}", "{a_kind}"]
        about = "a story" if r.random() < .15 else "a story about " + r.choice(about)
        if r.random() < .3 and "about" in about and f["thing"] in text: about += " and {a_thing}"
        about = about.format(a_kind=an(f["kind"]), **f)
        ask = r.choice(["Tell me %s.", "Tell me %s.", "Please tell me %s.", "Can you tell me %s?"]) % about
        text = "Question: " + ask + "\nAnswer: " + text
    return text + (questions(r, f, plot) if r.random() < .35 else "")

FACTS = [
    ("What colour is %s?", [("the grass", "green"), ("snow", "white"), ("the sky", "blue"), ("a lemon", "yellow"),
                            ("coal", "black"), ("a carrot", "orange"), ("the sun", "yellow"), ("milk", "white"),
                            ("a strawberry", "red")]),
    ("What does a %s say?", [("cow", "moo"), ("dog", "woof"), ("cat", "meow"), ("duck", "quack"), ("sheep", "baa"),
                             ("pig", "oink")]),
    ("How many legs does a %s have?", [("dog", "four"), ("cat", "four"), ("bird", "two"), ("spider", "eight"),
                                       ("duck", "two"), ("horse", "four"), ("bee", "six"), ("snake", "zero")]),
    ("What is the opposite of %s?", [("big", "small"), ("small", "big"), ("hot", "cold"), ("cold", "hot"),
                                     ("day", "night"), ("up", "down"), ("happy", "sad"), ("old", "young"),
                                     ("wet", "dry"), ("fast", "slow"), ("good", "bad"), ("dark", "bright")]),
    ("What day comes after %s?", list(zip("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
                                          "Tuesday Wednesday Thursday Friday Saturday Sunday Monday".split()))),
    ("What number comes after %s?", list(zip(NUMBERS, NUMBERS[1:]))),
    ("What do you call a young %s?", [("dog", "puppy"), ("cat", "kitten"), ("sheep", "lamb"), ("duck", "duckling"),
                                      ("hen", "chick"), ("horse", "foal")]),
    ("%s?", [("Who are you", "I am a small model that tells stories"), ("What is your name", "I am harp"),
             ("How are you", "I am happy"), ("What can you do", "I can tell a story")]),
    ("%s", [("Hello!", "Hello! Shall I tell you a story?"), ("Thank you.", "You are welcome"),
            ("Good night.", "Good night")])]

def fact(r):
    ask, known = r.choice(FACTS)
    about, answer = r.choice(known)
    return ask % about, answer

def add(r):
    a, b = r.randrange(11), r.randrange(11)
    return r.choice([(f"What is {a} plus {b}?", f"{a + b}"), (f"What is {a + b} minus {a}?", f"{b}")])

def short(r):
    """One to four questions with answers, as a conversation."""
    lines = [r.choice([add, add, fact])(r) for _ in range(r.choice([1, 2, 3, 4]))]
    return "\n\n".join("Question: %s\nAnswer: %s" % (q, answer(a)) for q, a in lines)

def build(seed, count):
    """Returns (train, held); no held-out document is also a training document."""
    r = random.Random(seed)
    docs = [short(r) if r.random() < .12 else story(r) for _ in range(count)]
    cut = count * 4 // 5
    seen = set(docs[:cut])
    return docs[:cut], [d for d in docs[cut:] if d not in seen]

if __name__ == "__main__":
    r = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    for plot in PLOTS: print(plot + ": " + tell(r, f := cast(r), plot) + questions(r, f, plot) + "\n")
    for _ in range(4): print(short(r) + "\n")
