"""The hub: what a repository holds, and its files into the hub's own cache, where diffusers finds them.

In: repository ids, revisions and files of a plan. Out: listings, and paths in the cache (`HF_HOME`, `HF_HUB_CACHE`).
Refuses: with `ModelsError` whatever the network, the hub or the disk refuses, and files whose digest is not the hub's.

A large file is collected beside the cache's blobs under a name of its own. It goes on where it stopped when it is asked
for again, by another process too (which `huggingface_hub` does not do), and enters the cache once its SHA-256 is right.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from client_runtime.models.plan import Listing, ModelsError, RemoteFile, Wanted

RESUMED_BYTES = 4 << 20  # smaller files are quicker asked for again
TRIES = 5
_BLOCK_BYTES = 1 << 20
_SPARE_BYTES = 256 << 20
_PARTIAL = ".sketchwire-partial"

OnBytes = Callable[[int], None]


class Hub:
    """One hub and one cache: the default ones, unless told otherwise. Makes requests only when asked to."""

    def __init__(self, cache: Path | None = None, endpoint: str | None = None) -> None:
        """Raises ModelsError when huggingface_hub is not installed."""
        try:
            import huggingface_hub
            import huggingface_hub.constants
            import huggingface_hub.errors
            import huggingface_hub.file_download
            import huggingface_hub.utils
        except ImportError as error:
            raise ModelsError(f"{error}; pip install 'sketchwire[diffusion]'") from error
        self._hub: Any = huggingface_hub
        self.cache = cache or Path(huggingface_hub.constants.HF_HUB_CACHE)
        self._endpoint = endpoint

    @property
    def offline(self) -> bool:
        """Whether the user forbade requests (`HF_HUB_OFFLINE`)."""
        return bool(self._hub.constants.HF_HUB_OFFLINE)

    def listing(self, repo: str, revision: str) -> Listing:
        """What `repo` holds at `revision`. Raises ModelsError."""
        api = self._hub.HfApi(endpoint=self._endpoint)
        try:
            info = api.model_info(repo, revision=revision, files_metadata=True)
        except Exception as error:
            raise self._trouble(repo, revision, error) from error
        files = tuple(
            RemoteFile(f.rfilename, f.size or 0, f.lfs.sha256 if f.lfs else None, f.blob_id)
            for f in info.siblings or ()
        )
        card = info.card_data.to_dict() if info.card_data else {}
        licence = card.get("license_name") or card.get("license")
        return Listing(repo, revision, info.sha or "", files, str(licence) if licence else None, bool(info.gated))

    def located(self, repo: str, commit: str, path: str) -> Path | None:
        """Where the file lies in the cache; None when it does not. Makes no request."""
        found = self._hub.try_to_load_from_cache(repo, path, cache_dir=self.cache, revision=commit)
        return Path(found) if isinstance(found, str) and os.path.exists(found) else None

    def fetch(self, wanted: Wanted, on_bytes: OnBytes) -> Path:
        """The file in the cache, downloaded if need be, and checked; `on_bytes` hears of each block.

        Raises ModelsError.
        """
        path = self.located(wanted.repo, wanted.commit, wanted.file.path)
        if path is not None and _matches(path, wanted.file):
            on_bytes(wanted.file.size_bytes)
            self._pointed(wanted, force=False)
            return path
        try:
            if wanted.file.sha256 is not None and wanted.file.size_bytes >= RESUMED_BYTES:
                if path is not None:
                    path.resolve().unlink(missing_ok=True)  # damaged: the blob, not only the link to it
                self._collect(wanted, wanted.file.sha256, on_bytes)
                path = self._pointed(wanted, force=False)
            else:
                path = self._pointed(wanted, force=path is not None)
                on_bytes(wanted.file.size_bytes)
        except ModelsError:
            raise
        except Exception as error:
            raise self._trouble(wanted.repo, wanted.revision, error, wanted.file.path) from error
        if not _matches(path, wanted.file):
            raise ModelsError(f"{wanted.repo}: {wanted.file.path} came damaged; try again")
        return path

    def _pointed(self, wanted: Wanted, force: bool) -> Path:
        """The library's own download: it writes the cache's links and the branch's commit, and small files."""
        if wanted.revision == wanted.commit or not self.offline:
            bars = self._hub.utils
            shown = not bars.are_progress_bars_disabled()
            bars.disable_progress_bars()
            try:
                found = self._hub.hf_hub_download(
                    wanted.repo,
                    wanted.file.path,
                    revision=wanted.revision,
                    cache_dir=self.cache,
                    endpoint=self._endpoint,
                    force_download=force,
                )
            finally:
                if shown:
                    bars.enable_progress_bars()
            if wanted.commit not in Path(found).parts:
                raise ModelsError(f"{wanted.repo}: {wanted.revision} moved on while it was fetched; try again")
            return Path(found)
        located = self.located(wanted.repo, wanted.commit, wanted.file.path)
        if located is None:
            raise ModelsError(f"{wanted.repo}: {wanted.file.path} is not here, and HF_HUB_OFFLINE forbids to fetch it")
        return located

    def _collect(self, wanted: Wanted, sha256: str, on_bytes: OnBytes) -> None:
        """The file's blob in the cache, whole and right."""
        folder = self.cache / self._hub.file_download.repo_folder_name(repo_id=wanted.repo, repo_type="model")
        blob = folder / "blobs" / sha256
        if blob.exists():
            on_bytes(wanted.file.size_bytes)
            return
        blob.parent.mkdir(parents=True, exist_ok=True)
        partial = blob.with_name(f"{sha256}{_PARTIAL}")
        have = partial.stat().st_size if partial.exists() else 0
        free = shutil.disk_usage(blob.parent).free
        if free < wanted.file.size_bytes - have + _SPARE_BYTES:
            raise ModelsError(
                f"{self.cache}: {free >> 20} MiB are free, and {wanted.file.path} needs "
                f"{(wanted.file.size_bytes - have) >> 20} more; make room, or set HF_HOME to another disk"
            )
        url = self._hub.hf_hub_url(wanted.repo, wanted.file.path, revision=wanted.commit, endpoint=self._endpoint)
        on_bytes(have)
        for attempt in range(TRIES):
            try:
                self._append(url, partial, wanted.file.size_bytes, on_bytes)
                break
            except OSError:
                raise
            except Exception as error:
                if attempt == TRIES - 1 or getattr(error, "response", None) is not None:
                    raise  # an answer, not a broken connection: asking again will not help
        digest = _sha256(partial)
        if digest != sha256:
            partial.unlink()
            raise ModelsError(
                f"{wanted.repo}: {wanted.file.path} has the SHA-256 {digest[:16]}…, and {sha256[:16]}… was announced; "
                "it was deleted: try again"
            )
        os.replace(partial, blob)

    def _append(self, url: str, partial: Path, size_bytes: int, on_bytes: OnBytes) -> None:
        """What is missing of `partial`; from the start when the server knows no ranges."""
        have = partial.stat().st_size if partial.exists() else 0
        if have >= size_bytes:
            return
        headers = self._hub.utils.build_hf_headers(library_name="sketchwire")
        headers["Accept-Encoding"] = "identity"
        if have:
            headers["Range"] = f"bytes={have}-"
        session = self._hub.utils.get_session()
        with session.stream("GET", url, headers=headers, follow_redirects=True, timeout=30.0) as answer:
            self._hub.utils.hf_raise_for_status(answer)
            if have and answer.status_code != 206:
                on_bytes(-have)
                have = 0
            with partial.open("ab" if have else "wb") as file:
                for block in answer.iter_bytes(_BLOCK_BYTES):
                    have += len(block)
                    if have > size_bytes:
                        raise ModelsError(f"{url}: more than the announced {size_bytes} bytes came")
                    file.write(block)
                    on_bytes(len(block))
        if have < size_bytes:
            raise ConnectionError(f"{url}: the connection ended after {have} of {size_bytes} bytes")

    def _trouble(self, repo: str, revision: str, error: Exception, path: str = "") -> ModelsError:
        """What went wrong, in words that help."""
        errors = self._hub.errors
        what = f"{repo}: {path}" if path else repo
        if isinstance(error, errors.OfflineModeIsEnabled):
            return ModelsError(f"{what} is not here, and HF_HUB_OFFLINE forbids to fetch it")
        if isinstance(error, errors.GatedRepoError):
            return ModelsError(
                f"{repo} is gated: accept its terms at https://huggingface.co/{repo}, then log in with: hf auth login"
            )
        if isinstance(error, errors.RevisionNotFoundError):
            return ModelsError(f"{repo} has no revision {revision}; correct it in the profile")
        if isinstance(error, errors.RepositoryNotFoundError):
            return ModelsError(
                f"{repo} does not exist, or is private: correct it in the profile, or log in with: hf auth login"
            )
        if isinstance(error, errors.EntryNotFoundError):
            return ModelsError(f"{what} does not exist at {revision}; correct the profile")
        if isinstance(error, OSError) and error.filename is not None:
            return ModelsError(f"{error.filename}: {error.strerror}")
        return ModelsError(
            f"{what} cannot be fetched: {type(error).__name__}: {' '.join(str(error).split())[:300]}; what has come is "
            "kept: the same command goes on from there"
        )


def _matches(path: Path, file: RemoteFile) -> bool:
    """Whether the file on disk is the one announced: its size, and SHA-256 or git's digest."""
    if path.stat().st_size != file.size_bytes:
        return False
    if file.sha256 is not None:
        return _sha256(path) == file.sha256
    if file.blob_id is not None:
        data = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == file.blob_id
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
