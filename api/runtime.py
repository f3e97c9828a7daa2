"""An installation, composed: the parts that the API, the command line and an embedded worker share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from answer.service import AnswerService
from api.tokens.check import Tokens
from core.audit import Audit
from core.db import Database
from core.secrets import Keyring
from core.settings import Settings
from embed.stack import VectorStack
from gateway.service import Gateway
from ingest.pipeline import Pipeline
from migrations.runner import upgrade
from policies.directory import put_tenant
from retrieve.reranking import make_reranker
from retrieve.rewriting_model import make_rewriter
from retrieve.service import Retriever


class Runtime:
    """Making one opens nothing; `prepare` brings SQL up to date, `warm_up` opens the index and loads the encoder.

    `serving`: many requests at a time, so an embedded index gets a process of its own.
    """

    def __init__(self, settings: Settings, *, serving: bool = False) -> None:
        self.settings = settings
        self.db = Database(settings.sql_url)
        self.keyring = Keyring(settings.data_dir / "keys")
        self.audit = Audit(self.keyring)
        self.tokens = Tokens(settings.oidc, settings.outbound_allowed)
        self.stack = VectorStack(settings, self.db, hosted=serving)
        self.retriever = Retriever(
            settings,
            self.db,
            self.stack,
            self.audit,
            reranker=make_reranker(settings, self.db, self._gateway),
            rewriter=make_rewriter(settings, self.db, self._gateway),
        )
        self.answers = AnswerService(settings, self.db, self.retriever, self.keyring, self.similarity)
        self.pipeline = Pipeline(settings, self.db, self.stack, self.keyring)

    def prepare(self) -> int:
        """Makes the data folder, applies migrations, and returns the id of the configured tenant, made if new."""
        self.settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        upgrade(self.settings.sql_url)
        with self.db.write() as session:
            return put_tenant(session, self.settings.tenant).id

    def warm_up(self) -> None:
        """Opens the index and loads the encoder.

        Raises:
            IndexUnavailableError: the embedded index is another process's, or the server does not answer.
        """
        self.stack.warm_up()

    def similarity(self, question: str, sentences: Sequence[str]) -> list[float]:
        """Cosine of each sentence to the question."""
        query = self.stack.encoder.encode_query(question)
        return [float(one) for one in np.asarray(self.stack.encoder.encode_passages(sentences) @ query)]

    def _gateway(self, tenant: int) -> Gateway:
        return self.answers.gateway(tenant)

    def close(self) -> None:
        """Releases everything."""
        self.tokens.close()
        self.pipeline.close()
        self.stack.close()
        self.db.close()
