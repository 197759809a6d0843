"""The words of the demo: the help center of Brightwell, an invented maker of home batteries.

Audiences are named as in `demo.Filling`. Addresses of files are filled in where they are made.
"""

from __future__ import annotations

from dataclasses import dataclass, field

NAME = "Brightwell Help"


@dataclass(frozen=True)
class Page:
    """An article. `french` is a title and a body; `group` says that agents care for it."""

    title: str
    body: str
    audience: str = "everyone"
    format: str = "markdown"
    locale: str = "en-us"
    draft: bool = False
    promoted: bool = False
    group: str = ""
    french: tuple[str, str] | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shelf:
    """A category or a section: its name, what it is about, and what is on it."""

    title: str
    body: str = ""
    audience: str = "everyone"
    french: tuple[str, str] | None = None
    pages: list[Page] = field(default_factory=list)
    shelves: list[Shelf] = field(default_factory=list)


BEFORE_INSTALLATION = Shelf(
    "Before installation",
    "What to choose, where it goes and what to ask your installer.",
    french=("Avant l'installation", "Choisir, placer, et ce qu'il faut demander à l'installateur."),
    pages=[
        Page(
            "Choose the right battery size",
            """
A battery is the right size when it is nearly empty in the morning and full by the middle of a
sunny afternoon. Bigger is not better: capacity you never use is paid for all the same.

## Look at one ordinary day

Find two numbers on your electricity bill or in your meter's app:

1. how much you use between sunset and sunrise on a normal weekday,
2. how much your panels send to the grid on a sunny day.

The smaller of the two is the capacity that will really be used.

| You use at night | Typical home | Model |
|---|---|---|
| up to 4 kWh | flat, two people | Brightwell 5 |
| 4 to 9 kWh | house, family of four | Brightwell 10 |
| more than 9 kWh | heat pump or electric car | Brightwell 10 with one extension |

> [!TIP]
> Planning a heat pump within two years? Choose a Brightwell 10. An extension takes an installer
> about an hour, a second battery takes a day.

## If you have no panels

With a tariff that changes by the hour, a battery can still pay for itself. Ask your installer to
compare last year's prices, or read *Charge when electricity is cheap*.
""",
            promoted=True,
            french=(
                "Choisir la bonne capacité",
                """
Une batterie a la bonne taille quand elle est presque vide le matin et pleine au milieu d'un
après-midi ensoleillé. Plus grand n'est pas mieux : la capacité inutilisée se paie aussi.

## Regardez une journée ordinaire

1. Combien consommez-vous entre le coucher et le lever du soleil ?
2. Combien vos panneaux envoient-ils au réseau par beau temps ?

Le plus petit des deux nombres est la capacité qui servira vraiment.

> [!TIP]
> Une pompe à chaleur est prévue ? Choisissez une Brightwell 10 : l'extension se pose en une
> heure.
""",
            ),
            labels=("buying",),
        ),
        Page(
            "Where the battery can be placed",
            """
The battery hangs on a wall or stands on the floor. It is quiet, but not silent: when it charges
at full power you hear a fan, about as loud as a refrigerator.

**Good places** are a utility room, a garage, a cellar that stays dry, or a covered wall outside
that faces north or east.

**Not allowed** are bedrooms, escape routes, and rooms that can be flooded.

- Keep 30 cm free on both sides and 50 cm above.
- The wall must carry 120 kg.
- The temperature should stay between 0 and 35 °C. Below zero the battery charges slowly; see
  *What cold weather changes*.

> [!WARNING]
> Do not build a cupboard around the battery. It needs the air.
""",
            french=(
                "Où placer la batterie",
                """
La batterie se fixe au mur ou se pose au sol, dans une buanderie, un garage ou une cave sèche.
Elle est interdite dans une chambre et sur un chemin d'évacuation.

- Laissez 30 cm libres de chaque côté et 50 cm au-dessus.
- Le mur doit porter 120 kg.
- La température doit rester entre 0 et 35 °C.
""",
            ),
        ),
        Page(
            "What happens on installation day",
            """
<p>Two people come in the morning. Most homes are finished by four in the afternoon.</p>
<ol>
  <li><strong>Looking around.</strong> You show them the meter cupboard and the wall you agreed
  on.</li>
  <li><strong>Power off.</strong> For about two hours there is no electricity in the house. Charge
  what you need before, and tell people who work at home.</li>
  <li><strong>Mounting and wiring.</strong> There will be drilling.</li>
  <li><strong>First start.</strong> The battery updates itself and runs a test of ten minutes.</li>
  <li><strong>Handing over.</strong> The app is set up on your phone, and you get the papers for
  the grid operator.</li>
</ol>
<p style="background-color:#ffe9a8">Please keep the way to the meter cupboard free.</p>
<h2>Afterwards</h2>
<p>The first two days the battery learns your habits. Do not be surprised when it is full at
night or empty at noon.</p>
""",
            format="html",
        ),
    ],
)

FIRST_DAYS = Shelf(
    "First days",
    "Connect the app, understand the light, know what is normal.",
    french=("Premiers jours", "L'application, le voyant, et ce qui est normal."),
    pages=[
        Page(
            "Connect the app to your battery",
            """
You need the phone that you will use, the Wi-Fi password, and the card with the six-digit code
that came with the battery.

1. Install **Brightwell Home** from your phone's app store and create an account.
2. Stand within five metres of the battery and press its button once. The light turns blue.
3. In the app choose **Add a battery** and type the code from the card.
4. Choose your Wi-Fi network and type its password.

The light turns green within a minute.

## If the light stays blue

- The battery speaks 2.4 GHz only. Many routers offer two networks with one name; switch the
  5 GHz one off for the moment.
- A password of more than 63 characters does not work.
- Still blue? Hold the button for ten seconds until the light blinks, and begin again. Your
  settings are kept.
""",
            promoted=True,
            french=(
                "Connecter l'application à la batterie",
                """
Il vous faut votre téléphone, le mot de passe du Wi-Fi et la carte avec le code à six chiffres.

1. Installez **Brightwell Home** et créez un compte.
2. Appuyez une fois sur le bouton de la batterie : le voyant devient bleu.
3. Choisissez **Ajouter une batterie** et saisissez le code.
4. Choisissez votre réseau Wi-Fi.

Le voyant passe au vert en moins d'une minute.
""",
            ),
            labels=("app", "wi-fi"),
        ),
        Page(
            "What the light tells you",
            """
| Light | Meaning | What to do |
|---|---|---|
| green, steady | charging or supplying the house | nothing |
| green, slow pulse | waiting | nothing |
| blue | ready to be connected | open the app |
| yellow | working, but not connected | see *Connect the app to your battery* |
| red, slow | switched off to protect itself | wait an hour, then see below |
| red, fast | fault | call us: the number is on the side of the battery |

A slow red light is nearly always heat. Let the room cool, check that nothing stands in front of
the openings, and press the button once.

> [!CAUTION]
> When the light is red and you smell something, switch off the breaker marked *Battery*, leave
> the room and call the fire service. Do not try to open the case.
""",
            promoted=True,
        ),
        Page(
            "Register your warranty",
            """
The warranty is ten years, or twelve when you register within 90 days of installation.

In the app, open **Account › Warranty** and check the serial number and the date. You get an
e-mail with the certificate; keep it, your insurer may ask for it.

Selling the house? The warranty stays with the battery. Choose **Hand over** on the same page.
""",
            audience="signed-in",
        ),
    ],
)

FRENCH_SERVICE = Shelf(
    "Service en français",
    "Joindre nos conseillers francophones.",
    audience="french",
    french=("Service en français", "Joindre nos conseillers francophones."),
    pages=[
        Page(
            "Joindre un conseiller en français",
            """
Nos conseillers francophones répondent du lundi au vendredi, de 9 h à 17 h.

- Par téléphone : le numéro est au dos de votre carte.
- Par écrit : choisissez **Aide › Écrire** dans l'application ; nous répondons en un jour ouvré.

Ayez sous la main le numéro de série, gravé sur le côté droit de la batterie.
""",
            locale="fr",
        ),
        Page(
            "Aides et démarches en France",
            """
## Avant les travaux

Déclarez l'installation au gestionnaire de réseau. Votre installateur prépare le dossier ; vous le
signez en ligne.

## Après les travaux

Gardez le certificat de conformité. Il vous sera demandé pour la prime à l'autoconsommation et par
votre assureur.
""",
            locale="fr",
        ),
    ],
)

SCHEDULES = Shelf(
    "Schedules and prices",
    "When to charge and when to hold back.",
    pages=[
        Page(
            "Charge when electricity is cheap",
            """
With an hourly tariff, the battery can buy at night and supply the house in the evening.

1. In the app open **Energy › Prices** and choose your supplier.
2. Set the price **below which** the battery may charge. A good start is two thirds of your average.
3. Leave **Keep room for the sun** on. The battery then looks at the forecast and leaves space.

```
price today   0.31  0.28  0.19  0.17  0.22  0.35
battery       hold  hold  charge charge hold supply
```

The switch from charging to supplying loses about a tenth of the energy. A difference in price
smaller than that is not worth it, and the battery does not react to it.
""",
            labels=("tariff", "app"),
        ),
        Page(
            "Hold energy back for an outage",
            """
In **Energy › Reserve** you choose how much of the battery is never used in normal times. During
an outage the reserve supplies the sockets marked with a green dot.

A reserve of 20 % runs a refrigerator, some lights and the router for about a night.[^1]

Before announced storms the battery fills itself. You can switch that off in the same place.

[^1]: Measured with 60 W on average and a Brightwell 10.
""",
        ),
    ],
)

EVERYDAY = Shelf(
    "Everyday use",
    "Reading the app, saving more, looking after the battery.",
    french=("Au quotidien", "Lire l'application, économiser, entretenir la batterie."),
    pages=[
        Page(
            "Read the energy chart",
            """
The chart shows one day from midnight to midnight. Yellow is what the panels make; the dark line
is what the house uses.

![Chart of a sunny day: the panels make most between ten and four o'clock]({chart})

Where the yellow stands above the line, the battery fills. Where it falls below, the battery
supplies the house. Touch a bar to see the numbers.

**Why does the battery not follow at once?** It waits for ten seconds before it reacts, so that a
kettle does not wake it up.

To compare weeks, write your own numbers into the diary below.
""",
            labels=("app",),
        ),
        Page(
            "What cold weather changes",
            """
Below 5 °C the battery charges at half its power, and below zero at a tenth. This protects the
cells; it is no fault. Supplying the house works down to −10 °C.

- In a garage, the battery warms itself when it is working. Let it work: set the reserve low.
- Snow on the panels is the more common reason for an empty battery.

> [!NOTE]
> The percentage may jump by a few points in the morning. The battery measures anew when it gets
> warm.
""",
            french=(
                "Ce que change le froid",
                """
En dessous de 5 °C, la batterie charge à la moitié de sa puissance, et en dessous de zéro à un
dixième. Cela protège les cellules. L'alimentation de la maison fonctionne jusqu'à −10 °C.
""",
            ),
        ),
        Page(
            "Look after the battery",
            """
There is little to do. Twice a year:

- wipe the openings on both sides with a dry cloth,
- press the button for three seconds: the battery tests itself and the light turns green,
- look at the breaker marked *Battery*. It must be up.

Never use water or a vacuum cleaner.
""",
        ),
        Page(
            "Change your Wi-Fi or your router",
            """
The battery works without the internet, but the app then shows old numbers and prices are not
known.

1. Press the button once. The light turns blue.
2. In the app open **Battery › Network** and choose the new network.

A new router with the *same* name and password needs nothing at all.
""",
        ),
    ],
    shelves=[SCHEDULES],
)

PREMIUM = Shelf(
    "Premium care",
    "For homes with a Premium contract.",
    audience="premium",
    pages=[
        Page(
            "Reach the Premium line",
            """
The Premium line answers day and night, also on holidays. The number is in the app under
**Account › Premium**; calls from the registered phone go first.

If somebody has to come, we are there within two working days, or we lend you a mobile battery.
""",
            audience="premium",
        ),
        Page(
            "Order the yearly inspection",
            """
Once a year a technician measures every cell and sends you a report of two pages. Choose a day in
**Account › Premium › Inspection**. The visit takes forty minutes, and the power stays on.
""",
            audience="premium",
        ),
        Page(
            "Try new features early",
            """
Premium homes may switch on features before others. They are complete but not yet polished.

At the moment: *charging the car with what is left over*, and *weekly report by e-mail*.

Features that do not work out are switched off again without notice.
""",
            audience="premium",
        ),
    ],
)

TROUBLE = Shelf(
    "When something is wrong",
    "What you can check yourself before you call.",
    french=("En cas de problème", "Ce que vous pouvez vérifier vous-même."),
    pages=[
        Page(
            "The battery does not charge",
            """
Go through these in order; most homes stop at the second.

1. **Is there anything to charge with?** On a dark day the house may use all that the panels make.
2. **Is the reserve reached, or a schedule active?** Look at **Energy › Today**: it says why the
   battery waits.
3. **Is it cold?** See *What cold weather changes*.
4. **Is the breaker marked *Battery* up?**

If the light is green and nothing happens for a whole sunny day, write to us with the serial
number. We can read the last seven days from afar, if you allow it in the app.
""",
            promoted=True,
            group="editors",
        ),
        Page(
            "The app shows no data",
            """
<p>The battery keeps working when the app shows nothing.</p>
<ul>
  <li>Is the light <span style="color:#b58900">yellow</span>? The battery has lost the Wi-Fi.</li>
  <li>Is it <span style="color:green">green</span>? Sign out of the app and in again.</li>
</ul>
<p>Missing hours are filled in when the connection is back, up to <strong>30 days</strong>.</p>
""",
            format="html",
            group="editors",
        ),
        Page(
            "Return or exchange a battery",
            """
You may return a battery within 30 days of delivery while it is in its box, and within 14 days of
installation when you are not content. We fetch it; do not send it by post, it is dangerous goods.

A faulty battery is exchanged at your home. You keep the old one until the new one is there.
""",
            audience="signed-in",
            group="editors",
        ),
        Page(
            "Winter mode",
            """
Starting with version 6, the battery can sleep from November to February when it would hardly be
used. It then keeps half its charge, warms itself once a week, and wakes up for outages.

*To be checked with the product team: does it also wake up for a storm warning?*
""",
            draft=True,
            group="editors",
        ),
    ],
)

PARTNERS_AND_TEAM = [
    Shelf(
        "Acme Homes",
        "For tenants of Acme Homes, whose batteries belong to the landlord.",
        audience="acme",
        pages=[
            Page(
                "Your battery in an Acme home",
                """
The battery belongs to Acme Homes, and you use it. Your rent covers it; there is no second bill.

- Moving in: the code for the app is in the folder from the caretaker.
- Moving out: choose **Account › Leave this home**. Your numbers are deleted.
- Something broken: call Acme's caretaker first, not us.
""",
                audience="acme",
            ),
            Page(
                "Opening hours of the Acme service desk",
                """
Monday to Friday from 8:00 to 18:00, on the ground floor of each building.

This article is for everyone, but its section is for Acme Homes: so only they see it.
""",
            ),
            Page(
                "Shared charging in the garage",
                """
Two charging points share 22 kW. Whoever plugs in first gets at most half of it while the other
one is in use. Sessions are on your monthly statement from Acme.
""",
                audience="acme",
            ),
        ],
    ),
    Shelf(
        "Borealis Housing",
        "For members of the Borealis housing cooperative.",
        audience="borealis",
        pages=[
            Page(
                "The Borealis neighbourhood battery",
                """
Forty homes share one large battery in the cellar of house 12. Your share follows from the size
of your flat and is printed on the statement of the cooperative.

In the app, add the neighbourhood battery with the code **of your flat**, not of the house.
""",
                audience="borealis",
            ),
            Page(
                "How the surplus is divided",
                """
What all homes together do not use is sold. The income is divided by shares, once a year, in
March. Members may give theirs to the common fund at the general meeting.
""",
                audience="borealis",
            ),
        ],
    ),
    Shelf(
        "For agents",
        "How we work. Please do not forward.",
        audience="agents",
        pages=[
            Page(
                "Answer a customer in the first hour",
                """
1. Say who you are and that you have read the whole message.
2. Ask for the serial number only if it is not on the profile.
3. Look at the last seven days before you ask what happened.
4. Close with one next step and a time.

Outages and smells are called back at once, by phone.
""",
                audience="agents",
            ),
            Page(
                "Refunds and goodwill",
                """
| Amount | Who decides |
|---|---|
| up to 50 | you |
| up to 300 | your team lead |
| more | operations, by the form |

Light agents do not decide on refunds and do not see this article.
""",
                audience="full-agents",
            ),
            Page(
                "Find out why somebody cannot see an article",
                """
Open the article in the admin and look at its audience. Remember that the section and the category
must admit them as well. Ask an admin to run the explanation for the person.
""",
                audience="agents",
            ),
            Page(
                "Price changes in spring",
                """
Not announced yet: **do not answer questions about it**. Only admins see this article.
""",
                audience="nobody",
            ),
        ],
    ),
]

CATEGORIES = [
    Shelf(
        "Getting started",
        "From the first idea to the first sunny day.",
        french=("Bien commencer", "De la première idée au premier jour de soleil."),
        shelves=[BEFORE_INSTALLATION, FIRST_DAYS, FRENCH_SERVICE],
    ),
    Shelf(
        "Using your battery",
        "Every day, in winter, and when something is not right.",
        french=("Utiliser la batterie", "Chaque jour, en hiver, et en cas de problème."),
        shelves=[EVERYDAY, TROUBLE, PREMIUM],
    ),
    Shelf(
        "Partners and team",
        "Homes with a partner's contract, and our own work.",
        french=("Partenaires et équipe", "Logements de nos partenaires, et notre travail."),
        shelves=PARTNERS_AND_TEAM,
    ),
]

DIARY = "day,made by the panels (kWh),used (kWh),from the grid (kWh)\nMonday,,,\nTuesday,,,\n"
