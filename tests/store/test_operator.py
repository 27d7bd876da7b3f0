"""
Tests for operators and tokens in L{pptpgw.store.store}, in both databases, and for
L{pptpgw.store.password}.
"""

from __future__ import annotations

import pytest

from pptpgw.store.error import StoreError, Taken, Unknown
from pptpgw.store.password import COST, Cost, hashPassword, isPassword
from pptpgw.store.record import OperatorToken
from pptpgw.store.store import USED_SECONDS, Store
from tests.store.conftest import NOW, MakeStore

CHEAP = Cost(16, 1, 1)


class TestPasswords:
    """
    Tests for the hashes of passwords.
    """

    def test_hash(self) -> None:
        """
        A hash has its parameters, another salt each time, and nothing of the password.
        """
        one, other = hashPassword(b"open sesame", CHEAP), hashPassword(b"open sesame", CHEAP)
        assert one != other and one.startswith("scrypt$16$1$1$")
        assert isPassword(b"open sesame", one) and isPassword(b"open sesame", other)
        assert not isPassword(b"open sesam", one)
        assert "sesame" not in one

    def test_slow(self) -> None:
        """
        By default a hash takes 32 MiB, and the parameters are those that OWASP recommends.
        """
        assert 128 * COST.n * COST.r == 32 << 20
        assert hashPassword(b"x").startswith("scrypt$32768$8$3$")

    @pytest.mark.parametrize(
        "stored", ["", "x", "md5$1$1$1$AA==$AA==", "scrypt$16$1$1$AA==", "scrypt$3$1$1$AA==$AA=="]
    )
    def test_unreadable(self, stored: str) -> None:
        """
        What is no hash proves nobody.
        """
        with pytest.raises(StoreError):
            isPassword(b"", stored)


class TestOperators:
    """
    Tests for the table of operators.
    """

    async def test_made(self, store: Store) -> None:
        """
        An operator is found by the exact name, and its hash is in no C{repr}.
        """
        await store.addOperator("ann", "viewer", "HASH")
        ann = await store.operator("ann")
        assert ann is not None
        assert (ann.name, ann.role, ann.password, ann.created) == ("ann", "viewer", "HASH", NOW)
        assert "HASH" not in repr(ann)
        for name in ("Ann", "bob", "", "a\0"):
            assert await store.operator(name) is None

    async def test_taken(self, store: Store) -> None:
        """
        A name is taken once.
        """
        await store.addOperator("ann", "viewer", "")
        with pytest.raises(Taken):
            await store.addOperator("ann", "admin", "")
        assert [one.role for one in await store.operators()] == ["viewer"]

    @pytest.mark.parametrize("name", ["", "a:b", "uid 0", "a\0", "a\n", "x" * 65, "\u202ea"])
    async def test_names(self, store: Store, name: str) -> None:
        """
        A name that could be misread, or that Basic can't carry, is refused.
        """
        with pytest.raises(StoreError, match="a name has"):
            await store.addOperator(name, "viewer", "")
        assert await store.operators() == []

    async def test_changed(self, store: Store) -> None:
        """
        Every change gives the operator another revision.
        """
        await store.addOperator("ann", "viewer", "one")
        first = await store.operator("ann")
        await store.changeOperator("ann", role="admin")
        second = await store.operator("ann")
        await store.changeOperator("ann", password="two")
        third = await store.operator("ann")
        await store.changeOperator("ann", disabled=True)
        fourth = await store.operator("ann")
        assert first and second and third and fourth
        assert (second.role, second.password) == ("admin", "one")
        assert (third.role, third.password) == ("admin", "two")
        assert (fourth.role, fourth.password) == ("admin", "two")
        assert [one.disabled for one in (first, second, third, fourth)] == [0, 0, 0, 1]
        assert len({one.revision for one in (first, second, third, fourth)}) == 4
        with pytest.raises(Unknown):
            await store.changeOperator("bob", role="admin")

    async def test_removed(self, store: Store) -> None:
        """
        An operator who is made again under the name of a removed one has none of the tokens, and
        another revision.
        """
        await store.addOperator("ann", "viewer", "")
        first = await store.operator("ann")
        token = await store.addToken("ann", "script")
        await store.removeOperator("ann")
        with pytest.raises(Unknown):
            await store.removeOperator("ann")
        assert await store.operatorWithToken(token) is None
        await store.addOperator("ann", "viewer", "")
        second = await store.operator("ann")
        assert await store.tokens("ann") == [] and await store.operatorWithToken(token) is None
        assert first and second and first.revision != second.revision


class TestTokens:
    """
    Tests for the table of tokens.
    """

    async def test_used(self, url: str, makeStore: MakeStore) -> None:
        """
        A token finds its operator, and the time of its use is noted once a minute.
        """
        now = [NOW]
        store = makeStore(url, now=lambda: now[0])
        await store.addOperator("ann", "viewer", "")
        token = await store.addToken("ann", "script")
        assert await store.tokens("ann") == [OperatorToken("ann", "script", NOW)]
        for later, noted in ((5.0, 5.0), (6.0, 5.0), (5 + USED_SECONDS, 5 + USED_SECONDS)):
            now[0] = NOW + later
            found = await store.operatorWithToken(token)
            assert found is not None and found.name == "ann"
            assert [one.used for one in await store.tokens("ann")] == [NOW + noted]

    async def test_expired(self, url: str, makeStore: MakeStore) -> None:
        """
        A token can't be used from the time on at which it expires.
        """
        now = [NOW]
        store = makeStore(url, now=lambda: now[0])
        await store.addOperator("ann", "viewer", "")
        token = await store.addToken("ann", "script", NOW + 10)
        now[0] = NOW + 9
        assert await store.operatorWithToken(token) is not None
        now[0] = NOW + 10
        assert await store.operatorWithToken(token) is None

    async def test_kept(self, store: Store) -> None:
        """
        A token has 256 random bits, and the database has only a hash of it.
        """
        await store.addOperator("ann", "viewer", "")
        one, other = await store.addToken("ann", "one"), await store.addToken("ann", "other")
        assert one != other and len(one.removeprefix("pptpgw_")) == 43

        def rows(transaction: object) -> str:
            found = transaction.rows("SELECT * FROM operator_tokens")  # type: ignore[attr-defined]
            return str(found)

        text = await store._database.read(rows)
        assert one[7:] not in text and other[7:] not in text

    async def test_names(self, store: Store) -> None:
        """
        The names of an operator's tokens are distinct, and tokens need an operator.
        """
        await store.addOperator("ann", "viewer", "")
        first = await store.addToken("ann", "script")
        with pytest.raises(Taken):
            await store.addToken("ann", "script")
        for asked in (store.addToken("bob", "script"), store.tokens("bob")):
            with pytest.raises(Unknown):
                await asked
        assert await store.operatorWithToken(first) is not None
        await store.removeToken("ann", "script")
        assert await store.operatorWithToken(first) is None
        with pytest.raises(Unknown):
            await store.removeToken("ann", "script")
