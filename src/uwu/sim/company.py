"""Larkspur, a fictional company: its people, teams, accounts and services. The same seed is the same company."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

DOMAIN = "larkspur.example"
HOME_REGION = "us-east-1"
REGIONS = ("us-east-1", "eu-west-1", "eu-central-1", "ap-southeast-2", "us-west-2", "eu-north-1")


@dataclass(frozen=True)
class Person:
    """Someone who works here; ``name`` is the user name, as in ``mira.k``."""

    name: str
    title: str
    team: str
    """Empty for a contractor whom no team holds."""

    @property
    def email(self) -> str:
        return f"{self.name}@{DOMAIN}"


@dataclass(frozen=True)
class Team:
    name: str
    title: str


@dataclass
class Account:
    """An AWS account; its id is given when it is made."""

    name: str
    ou: str
    owner: str
    """The team that owns it; empty for none."""
    environment: str
    id: str = ""
    arn: str = ""
    regions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Service:
    """A service and where it runs."""

    name: str
    title: str
    system: str
    team: str
    account: str
    region: str
    tier: int
    size: int
    """How much of everything it has, 1 and up."""
    calls: tuple[str, ...] = ()
    """Services whose API it consumes."""


@dataclass
class Company:
    teams: list[Team]
    people: list[Person]
    accounts: list[Account]
    services: list[Service]
    regions: list[str]

    def account(self, name: str) -> Account:
        return next(a for a in self.accounts if a.name == name)

    def team_people(self, team: str) -> list[Person]:
        return [p for p in self.people if p.team == team]


TEAMS = (
    Team("platform", "Platform engineering"),
    Team("payments", "Payments"),
    Team("identity", "Identity"),
    Team("storefront", "Storefront"),
    Team("data", "Data"),
    Team("security", "Security"),
)

PEOPLE = (
    *(("teo.v", "Teo Varga", "platform"), ("arda.s", "Arda Sahin", "platform"), ("june.o", "June Okafor", "platform")),
    *(
        ("mira.k", "Mira Kallio", "payments"),
        ("pavel.d", "Pavel Dvorak", "payments"),
        ("lin.z", "Lin Zhao", "payments"),
    ),
    *(
        ("noor.h", "Noor Haddad", "identity"),
        ("samu.t", "Samu Toivonen", "identity"),
        ("ines.m", "Ines Moura", "identity"),
    ),
    *(
        ("bea.r", "Bea Ricci", "storefront"),
        ("kofi.a", "Kofi Asante", "storefront"),
        ("hana.y", "Hana Yamada", "storefront"),
    ),
    *(("ola.n", "Ola Nowak", "data"), ("dev.p", "Dev Patel", "data"), ("rui.c", "Rui Costa", "data")),
    *(("ana.b", "Ana Berg", "security"), ("omar.f", "Omar Farouk", "security"), ("vik.l", "Vik Lund", "security")),
    ("max.ext", "Max (contractor)", ""),
)

# name, organizational unit, owner, environment; in the order in which a smaller company keeps them
ACCOUNTS = (
    ("larkspur", "", "platform", "management"),
    ("payments-prod", "Production", "payments", "production"),
    ("storefront-prod", "Production", "storefront", "production"),
    ("old-acquisition", "Sandbox", "", "sandbox"),
    ("shared-services", "Platform", "platform", "production"),
    ("identity-prod", "Production", "identity", "production"),
    ("data-prod", "Production", "data", "production"),
    ("security-tooling", "Platform", "security", "production"),
    ("network", "Platform", "platform", "production"),
    ("payments-staging", "Staging", "payments", "staging"),
    ("storefront-staging", "Staging", "storefront", "staging"),
    ("playground", "Sandbox", "platform", "sandbox"),
)
OUS = ("Platform", "Production", "Staging", "Sandbox")

# name, title, system, team, account, tier, size, consumes
SERVICES = (
    ("checkout", "Checkout", "commerce", "storefront", "storefront-prod", 1, 3, ("ledger", "basket", "sessions")),
    ("ledger", "Ledger", "money", "payments", "payments-prod", 1, 3, ()),
    ("payouts", "Payouts", "money", "payments", "payments-prod", 1, 2, ("ledger",)),
    ("card-vault", "Card vault", "money", "payments", "payments-prod", 1, 2, ()),
    ("basket", "Basket", "commerce", "storefront", "storefront-prod", 1, 2, ()),
    ("catalogue", "Product catalogue", "commerce", "storefront", "storefront-prod", 2, 2, ()),
    ("sessions", "Sessions", "accounts", "identity", "identity-prod", 1, 2, ()),
    ("signup", "Sign-up", "accounts", "identity", "identity-prod", 1, 2, ("sessions", "mailer")),
    ("profiles", "Profiles", "accounts", "identity", "identity-prod", 2, 2, ("sessions",)),
    ("events", "Event stream", "insight", "data", "data-prod", 2, 3, ()),
    ("warehouse", "Warehouse loader", "insight", "data", "data-prod", 2, 2, ("events",)),
    ("reports", "Reports", "insight", "data", "data-prod", 3, 2, ("warehouse",)),
    ("recommend", "Recommendations", "insight", "data", "data-prod", 3, 2, ("events", "catalogue")),
    ("mailer", "Mailer", "core", "platform", "shared-services", 2, 2, ()),
    ("deployer", "Deployer", "core", "platform", "shared-services", 2, 2, ()),
    ("metrics", "Metrics", "core", "platform", "shared-services", 2, 2, ()),
    ("scanner", "Scanner", "trust", "security", "security-tooling", 3, 1, ()),
    ("key-rotation", "Key rotation", "trust", "security", "security-tooling", 2, 1, ()),
    ("ledger-staging", "Ledger, staging", "money", "payments", "payments-staging", 3, 1, ()),
    ("checkout-staging", "Checkout, staging", "commerce", "storefront", "storefront-staging", 3, 1, ()),
)

SYSTEMS = {
    "commerce": ("Commerce", "storefront"),
    "money": ("Money", "payments"),
    "accounts": ("Customer accounts", "identity"),
    "insight": ("Insight", "data"),
    "core": ("Core", "platform"),
    "trust": ("Trust", "security"),
}


def found(seed: int, *, accounts: int = 12, regions: int = 3, resources: int = 650) -> Company:
    """The company of ``seed``: ``accounts`` AWS accounts, and services that declare about ``resources`` resources."""
    random = Random(seed)  # noqa: S311
    accounts = max(4, accounts)
    chosen = [Account(*row) for row in ACCOUNTS[:accounts]]
    for extra in range(len(ACCOUNTS), accounts):
        owner = TEAMS[extra % len(TEAMS)].name
        chosen.append(Account(f"{owner}-{extra}", OUS[extra % 3], owner, "production"))
    names = {account.name for account in chosen}
    used: list[str] = list(REGIONS[: max(1, min(regions, len(REGIONS)))])
    home_of = {name: used[i % len(used)] for i, name in enumerate(sorted(names))}
    services: list[Service] = []
    for name, title, system, team, account, tier, size, calls in SERVICES:
        # a smaller company runs a team's services in the accounts that it has
        place = account if account in names else ("payments-prod" if len(services) % 2 else "storefront-prod")
        services.append(Service(name, title, system, team, place, home_of[place], tier, size, calls))
    for extra in range(len(ACCOUNTS), accounts):
        account = chosen[extra]
        services.append(
            Service(f"app-{extra}", f"App {extra}", "core", account.owner, account.name, home_of[account.name], 3, 1)
        )
    # about twelve resources for each unit of size, besides what every account has
    units = max(len(services), round((resources - 14 * accounts) / 12.5))
    total = sum(s.size for s in services)
    scaled = [
        Service(
            **{
                **s.__dict__,
                "size": max(1, round(s.size * units / total)),
                "region": s.region if s.tier == 1 else random.choice([s.region, *used]),
            }
        )
        for s in services
    ]
    for service in scaled:
        account = next(a for a in chosen if a.name == service.account)
        if service.region not in account.regions:
            account.regions.append(service.region)
    return Company(list(TEAMS), [Person(*row) for row in PEOPLE], chosen, scaled, used)
