"""Who a user is at LiveChat: always the same customer, with a token that is good."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from rasa_handoff.backends.livechat.accounts import Accounts, Customer
from rasa_handoff.backends.livechat.settings import NAME, LiveChatSettings
from rasa_handoff.backends.tokens import Token
from rasa_handoff.errors import BackendError, TemporaryError
from rasa_handoff.store import Missed, Store, Tx, kept
from rasa_handoff.store.users import Erased

log = logging.getLogger(__name__)

_CUSTOMERS = f"{NAME} customer"  #: what is kept, by conversation
_USERS = f"{NAME} user"  #: … and by customer
_AT_ONCE = 10  #: tokens; after a restart thousands of chats want one
_MOST_KEPT = 20_000  #: tokens
_KEEP_EVERY = 300.0  #: seconds; what is old is deleted, and who is in a chat must not be forgotten


def customer_of(tx: Tx, sender_id: str) -> Customer | None:
    found = kept.get(tx, _CUSTOMERS, sender_id)
    return Customer(id=found["id"], cookies=found["cookies"]) if found else None


def sender_of(tx: Tx, customer_id: str) -> str | None:
    """The conversation of the user who is this customer."""
    found = kept.get(tx, _USERS, customer_id)
    return found["sender_id"] if found else None


def _keep(tx: Tx, sender_id: str, customer: Customer, now: float) -> None:
    kept.put(tx, _CUSTOMERS, sender_id, {"id": customer.id, "cookies": customer.cookies}, now, sender_id)
    kept.put(tx, _USERS, customer.id, {"sender_id": sender_id}, now, sender_id)


def _keep_on(tx: Tx, sender_id: str, now: float) -> None:
    customer = customer_of(tx, sender_id)
    if customer is not None:
        _keep(tx, sender_id, customer, now)


class _Known:
    """What is in memory of a user."""

    __slots__ = ("kept_at", "token")

    def __init__(self, token: Token, kept_at: float) -> None:
        self.token = token
        self.kept_at = kept_at  #: when it was last written who they are


class Customers:
    """Gives each user a customer's token, and remembers on disk which customer that is."""

    def __init__(self, settings: LiveChatSettings, accounts: Accounts, store: Store, now: Callable[[], float]) -> None:
        self._organization = settings.organization_id
        self._of_license = Token(self._look_up, now) if settings.license_id else None
        self._accounts = accounts
        self._store = store
        self._now = now
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._known: dict[str, _Known] = {}
        store.subscribe(Erased, self._forget)
        store.subscribe(Missed, lambda missed: self._known.clear())  # others may have been erased meanwhile

    def _forget(self, erased: Erased) -> None:
        self._known.pop(erased.sender_id, None)

    async def token(self, sender_id: str, instead_of: str | None = None) -> str:
        """The token of this user's customer; a new one where the API refused *instead_of*.

        Raises:
            TemporaryError: none can be had now.
        """
        now = self._now()
        if sender_id not in self._known:
            while len(self._known) >= _MOST_KEPT:
                del self._known[next(iter(self._known))]
            self._known[sender_id] = _Known(Token(partial(self._fetch, sender_id), self._now), now)
        known = self._known[sender_id]
        if now - known.kept_at > _KEEP_EVERY:
            known.kept_at = now
            await self._store.write(partial(_keep_on, sender_id=sender_id, now=now))
        return await known.token.get(instead_of)

    async def organization(self) -> str | None:
        """The organization's id: from the settings, from the license, or as a token's answer named it."""
        if self._organization is None and self._of_license is not None:
            self._organization = await self._of_license.get()
        return self._organization

    async def _look_up(self) -> tuple[str, float]:
        return await self._accounts.organization_of_license(), float("inf")

    async def _fetch(self, sender_id: str) -> tuple[str, float]:
        known = await self._store.read(partial(customer_of, sender_id=sender_id))
        try:
            async with self._places:
                minted = await self._accounts.mint(known, await self.organization())
        except TemporaryError:
            raise
        except BackendError as error:
            # A secret can be put right while messages wait: none of them is lost for it.
            raise TemporaryError(error.who, error.doing, error.status, error.detail) from None
        if known is not None and known.id != minted.customer.id:
            log.warning("livechat.another_customer")  # the one before was deleted there, or its cookies ran out
        self._organization = self._organization or minted.organization
        await self._store.write(partial(_keep, sender_id=sender_id, customer=minted.customer, now=self._now()))
        return minted.token, minted.seconds
