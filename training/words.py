"""Decide which words the training conversations are made of.

Every list here was written for this model; no text was copied from elsewhere. Slots mix listed words with
invented ones, so that copying a slot is learnt as a skill and not as a table.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def listed(text: str, mark: str | None = None) -> tuple[str, ...]:
    """Give the entries of a list which is written as running text, to keep long lists readable."""
    return tuple(text.split(mark))


NAMES = listed(
    "Ada Alan Alex Alice Amir Ana Andrea Anna Anton Arthur Aisha Ben Bella Bob Bruno Carla Carlos Chen Chloe Clara "
    "Daniel David Diana Dora Eli Elena Ella Emil Emma Eric Eva Felix Fatima Frank Freya George Grace Greta Hana Hannah "
    "Harry Hassan Helen Henry Hugo Ida Ines Ingrid Irene Isaac Ivan Jack Jade James Jan Jane Jonas Joe John Judith "
    "Julia Kai Karim Kate Kenji Kim Lara Lars Laura Lea Leo Lena Liam Lily Lina Linda Louis Lucy Luis Maja Marco Maria "
    "Marie Mark Marta Martin Mary Mateo Max Mia Mila Mina Mohamed Nadia Nina Noah Nora Olga Oliver Omar Oscar Otto "
    "Paul Paula Pedro Peter Petra Priya Rahul Rachel Raj Ravi Rita Robert Rosa Ruth Sam Samir Sara Sarah Simon Sofia "
    "Sven Tara Theo Thomas Tim Tom Uma Ursula Vera Victor Wei Yara Yuki Yusuf Zoe"
)
SURNAMES = listed(
    "Adams Baker Brown Carter Costa Diaz Evans Fischer Garcia Hansen Ito Jensen Jones Kaya Khan Kim Klein Lopez Meyer "
    "Moreau Murphy Nowak Okafor Patel Petrov Rossi Santos Schmidt Silva Singh Smith Tanaka Walker Weber Young"
)
CITIES = (
    *listed(
        "Amsterdam Ankara Athens Bangkok Barcelona Basel Beijing Berlin Bern Bogota Boston Brussels Budapest Cairo Chicago "
        "Cologne Copenhagen Dakar Delhi Denver Dubai Dublin Geneva Hamburg Hanoi Helsinki Istanbul Jakarta Kyiv Lagos Lima "
        "Lisbon Lyon London Madrid Manila Melbourne Miami Milan Montreal Moscow Mumbai Munich Nairobi Naples Osaka Oslo "
        "Paris Porto Prague Quito Riga Rome Santiago Seattle Seoul Seville Shanghai Singapore Sofia Stockholm Sydney "
        "Taipei Tallinn Tokyo Toronto Tunis Turin Utrecht Vienna Vilnius Warsaw Zagreb Zurich"
    ),
    *listed("New York|San Francisco|Los Angeles|Cape Town|Mexico City|Buenos Aires|Hong Kong", "|"),
)
CAPITALS = {
    "France": "Paris",
    "Germany": "Berlin",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Portugal": "Lisbon",
    "Austria": "Vienna",
    "Poland": "Warsaw",
    "Greece": "Athens",
    "Ireland": "Dublin",
    "Norway": "Oslo",
    "Sweden": "Stockholm",
    "Denmark": "Copenhagen",
    "Finland": "Helsinki",
    "Japan": "Tokyo",
    "China": "Beijing",
    "Egypt": "Cairo",
    "Peru": "Lima",
    "Canada": "Ottawa",
    "Hungary": "Budapest",
    "Belgium": "Brussels",
    "the United Kingdom": "London",
    "England": "London",
    "Switzerland": "Bern",
    "Turkey": "Ankara",
    "the Netherlands": "Amsterdam",
    "Russia": "Moscow",
    "the United States": "Washington",
    "India": "New Delhi",
    "Kenya": "Nairobi",
    "South Korea": "Seoul",
}
OTHER_LANDS = listed(
    "Brazil Argentina Chile Bolivia Ecuador Colombia Mexico Cuba Panama Morocco Algeria Tunisia Libya Ghana Nigeria "
    "Senegal Mali Ethiopia Uganda Zambia Iran Iraq Israel Jordan Lebanon Syria Nepal Bhutan Pakistan Bangladesh "
    "Vietnam Thailand Laos Malaysia Indonesia Mongolia Australia Fiji Samoa Iceland Estonia Latvia Lithuania Ukraine "
    "Romania Bulgaria Serbia Croatia Slovenia Slovakia Albania Malta Cyprus Georgia Armenia Texas Bavaria Mars "
    "Atlantis California Wakanda"
)
COLOURS = {
    "the sky": "blue",
    "grass": "green",
    "snow": "white",
    "coal": "black",
    "a banana": "yellow",
    "a lemon": "yellow",
    "a carrot": "orange",
    "a tomato": "red",
    "blood": "red",
    "milk": "white",
    "an orange": "orange",
    "a strawberry": "red",
    "a leaf": "green",
    "a frog": "green",
    "the sun": "yellow",
    "the sea": "blue",
    "a cucumber": "green",
    "chocolate": "brown",
    "a crow": "black",
    "a swan": "white",
    "a flamingo": "pink",
    "an elephant": "grey",
    "a pumpkin": "orange",
    "a cherry": "red",
    "a fire engine": "red",
    "salt": "white",
    "lavender": "purple",
    "an aubergine": "purple",
    "coffee": "brown",
    "gold": "yellow",
    "a mouse": "grey",
    "the night": "black",
}
ANIMALS = listed(
    "fox cat dog owl bear mouse rabbit horse frog duck turtle goat wolf whale bee crow penguin tiger lion hedgehog "
    "squirrel dragon otter donkey elephant parrot snail spider sheep robot"
)
NOUNS = listed(
    "apple army art atom baby bank basket battery beach bicycle bird blood boat body bone book brain bread bridge "
    "budget bug building bus butter cake camera car career carpet castle cell chain chair cheese chemistry chess child "
    "church climate clock cloud coat code coffee coin college computer contract cookie cotton country court cream "
    "crime crown culture data database debt design desk diet dinner disease doctor door dream dress driver earth "
    "economy egg election electron email energy engine essay evening exam factory family farm fashion father fear "
    "festival fever film fire fish flag flower food football forest freedom fridge fruit function future galaxy game "
    "garden gas gene ghost glass god gold government grammar gravity guitar hair hammer happiness heart history home "
    "hospital hotel house ice idea industry insurance internet island jacket job juice justice keyboard kitchen knife "
    "lake lamp language laser law leader lesson letter library light love machine magnet map market marriage match "
    "medicine memory metal meeting mind mirror money moon mother motor mountain museum music nation nature network "
    "night novel ocean office oil opera opinion oxygen painting paper parent park party passport pasta peace pencil "
    "people philosophy phone photo piano picture pizza plane planet plant plastic poem police politics pollution "
    "president price prison problem program protein psychology queen radio rain recipe religion republic rice ring "
    "river road rocket roof rope rose rule salad salary salt sandwich satellite school science sea season shadow ship "
    "shirt shoe shop silver sister sky sleep smoke snow soap society software soil soldier song soul soup space speech "
    "sport star station steel stock stone storm street student sugar summer sun surgery table tax tea teacher team "
    "temple tennis theatre theory time tooth tower toy trade traffic train travel tree trip truck truth university "
    "vaccine valley vegetable village virus voice volcano wall war water wave wealth weapon website wedding wheel wind "
    "window wine winter wood word work world writer year youth zoo"
)
VERBS = listed(
    "add analyse answer avoid bake become begin believe boil break bring build burn buy calculate carry catch change "
    "choose clean climb close collect compare compile compose convert cook copy create cut dance debug define delete "
    "describe design destroy develop discuss divide draw drink drive earn eat edit evaluate explain fall fight fill "
    "find finish fix fly forget format generate get grow guess heal hide hire hold hunt imagine implement improve "
    "install invent invest join judge jump keep kill know lead learn leave list lose love make manage measure mix move "
    "multiply negotiate open optimise organise paint parse pay plan play predict prepare print protect prove publish "
    "push quit read recommend record refactor remove repair replace research return review run save sell send sew "
    "share show sing sleep solve sort speak spend split start steal stop study summarise swim teach test think train "
    "translate travel treat try understand use visit walk wash watch win write"
)
ADJECTIVES = listed(
    "ancient angry bad beautiful best big bitter black blue boring brave bright broken busy cheap clean clever cold "
    "common complex cool crazy cruel curious dangerous dark deep digital dry early easy empty expensive famous fast "
    "first flat foreign free fresh friendly full funny good great green happy hard healthy heavy high hot human hungry "
    "important large late lazy local long loud lucky main medieval modern natural new nice old open perfect poor "
    "popular private public quick quiet rare real red rich round sad safe sharp short sick silent simple slow small "
    "smart social soft strange strong sweet tall tiny tired true ugly useful warm weak wet white wild wise wrong young"
)
TECH = listed(
    "Python Rust Java JavaScript TypeScript Go Haskell Ruby PHP Perl Swift Kotlin Scala Bash SQL HTML CSS React Docker "
    "Kubernetes Linux Windows Git Postgres Redis Nginx AWS Excel C++ C# MATLAB Lua regex YAML XML GraphQL Terraform"
)
LANGUAGES = listed(
    "French German Spanish Italian Portuguese Dutch Swedish Polish Russian Japanese Chinese Korean Arabic Hindi Turkish "
    "Greek Latin Finnish Danish Czech Hungarian Welsh Esperanto English"
)
FOREIGN = listed(
    "bonjour comment ca va|wie geht es dir|was ist das|hola que tal|donde esta la biblioteca|come stai|che cosa fai|"
    "quel temps fait-il|wie spaet ist es|was ist die Hauptstadt von Frankreich|cuanto cuesta|por favor ayuda|"
    "je ne comprends pas|ich brauche Hilfe|erzaehl mir einen Witz|schreib ein Gedicht|hur mar du|jak se mas|co to jest|"
    "nasilsin|ni hao|konnichiwa|annyeong|privet kak dela|obrigado por tudo|buenas noches|guten Morgen|wat is dit|"
    "今日は何日ですか|你好吗|привет|как дела|مرحبا|안녕하세요|où est la gare|können Sie mir helfen|¿qué hora es?|ça marche|"
    "explique la théorie|écris un poème|erkläre mir das|qué es la vida|schöne Grüße|τι κάνεις|नमस्ते",
    "|",
)
EVENTS = listed(
    "science fair|team meeting|book club|birthday party|wedding|code review|planning session|concert|lunch|dinner|"
    "workshop|board meeting|picnic|chess match|football game|job interview|yoga class|film night|product launch|"
    "hackathon|school play|garden party|road trip|budget review|sprint demo|art show|charity run|choir practice",
    "|",
)
DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = listed("January February March April May June July August September October November December")
JOBS = listed(
    "baker teacher nurse pilot farmer lawyer painter plumber driver doctor cook engineer singer writer carpenter judge "
    "gardener dentist waiter chemist"
)
PRODUCTS = listed(
    "lamps chairs books pens cups shirts apples tickets cables keyboards bottles boxes candles shoes"
)

_ONSETS = listed(
    "b c d f g h j k l m n p r s t v w y z br bl ch cl cr dr fl fr gl gr kr kl pl pr qu sh sk sl sn sp st th tr tw vl zh"
)
_VOWELS = listed("a a a e e e i i o o o u u ai au ea ei ia ie io oa oo ou ue y")
_CODAS = [
    "",
    "",
    "",
    *listed("b d f g k l m n p r s t x z ck ld ll mp nd ng nk nt rd rk rm rn rt sh ss st th tz"),
]


class Slots:
    """Draw slot values; one object per conversation stream, so that a seed fixes the whole corpus."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def pick(self, options: Sequence[T]) -> T:
        """Choose one of the options."""
        return options[int(self.rng.random() * len(options))]

    def chance(self, probability: float) -> bool:
        """Say yes with the given probability."""
        return self.rng.random() < probability

    def number(self, low: int, high: int) -> int:
        """Draw a whole number, both ends included."""
        return low + int(self.rng.random() * (high - low + 1))

    def pseudo(self, longest: int = 3) -> str:
        """Invent a lower-case word which can be spoken."""
        parts = [
            self.pick(_ONSETS) + self.pick(_VOWELS) + self.pick(_CODAS)
            for _ in range(self.number(1, longest))
        ]
        return "".join(parts)

    def letters(self, low: int = 2, high: int = 9) -> str:
        """Draw a string without any sense, which only true copying gets right."""
        alphabet = self.pick(
            [string.ascii_lowercase, string.ascii_letters, string.ascii_letters + string.digits]
        )
        return "".join(self.pick(alphabet) for _ in range(self.number(low, high)))

    def word(self) -> str:
        """Draw a common or an invented word."""
        kind = self.rng.random()
        if kind < 0.3:
            return self.pick(NOUNS)
        if kind < 0.45:
            return self.pick(VERBS)
        if kind < 0.6:
            return self.pick(ADJECTIVES)
        return self.pseudo()

    def _accented(self, word: str) -> str:
        for plain, marked in zip("aeioucns", "áéíöüçñš", strict=True):
            if self.chance(0.3):
                word = word.replace(plain, marked, 1)
        return word

    def blur(self, text: str) -> str:
        """Blur the outer form, so that the answer does not hang on a capital letter, a full stop or a greeting."""
        if self.chance(0.15):
            text = text.lower()
        if self.chance(0.15):
            text = text.rstrip(".?")
        elif self.chance(0.04):
            text = text.rstrip(".?") + self.pick(("!", "??", "?", " ?", ".", "..."))
        if self.chance(0.08):
            text = (
                self.pick(
                    (
                        "Please ",
                        "Hey, ",
                        "Hi! ",
                        "OK. ",
                        "Quick question: ",
                        "Now ",
                        "Hello, ",
                        "And ",
                        "So, ",
                        "Tell me: ",
                        "Thanks. ",
                        "Hi, ",
                        "One more thing: ",
                        "please ",
                    )
                )
                + text
            )
        if self.chance(0.05):
            text += self.pick(
                (" Thanks!", " please", " Please.", " Thank you.", " Be brief.", " Answer shortly.")
            )
        return text

    def name(self) -> str:
        """Draw a first name, sometimes with a surname."""
        first = self.pick(NAMES) if self.chance(0.4) else self.pseudo().capitalize()
        kind = self.rng.random()
        if kind < 0.04:
            first = self._accented(first)
        elif kind < 0.07:
            first += "-" + self.pick(NAMES)
        if self.chance(0.85):
            return first
        return first + " " + (self.pick(SURNAMES) if self.chance(0.5) else self.pseudo().capitalize())

    def city(self) -> str:
        """Draw a town, listed or invented."""
        kind = self.rng.random()
        if kind < 0.4:
            return self.pick(CITIES)
        if kind < 0.9:
            return self.pseudo().capitalize()
        return (
            self.pick(["New", "Port", "San", "Saint", "Old", "Bad", "Fort"])
            + " "
            + self.pseudo().capitalize()
        )

    def phrase(self, low: int = 2, high: int = 7) -> str:
        """Draw some words in a row, for echoing."""
        text = " ".join(self.word() for _ in range(self.number(low, high)))
        return text.capitalize() if self.chance(0.4) else text
