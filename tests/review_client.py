"""A client of the review server that speaks HTTP as it likes."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Client:
    """Speaks HTTP as it likes, with the headers of the page where nothing else is said."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.port
        self.port = parts.port
        self.token = parse_qs(parts.query)["token"][0]
        self.here = f"127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str | None
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        fields: dict[str, str | None] = {
            "Host": self.here,
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            page = {
                "Origin": f"http://{self.here}",
                "Sec-Fetch-Site": "same-origin",
                "Content-Type": "application/json",
            }
            page |= {"X-Automatch-Token": self.token, "Content-Length": str(len(data))}
            fields = {**page, **fields}
        for name, value in fields.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders()
        if data:
            connection.send(data)
        response = connection.getresponse()
        answer = response.status, dict(response.getheaders()), response.read().decode()
        connection.close()
        return answer

    def page(self, **headers: str | None) -> tuple[int, dict[str, str], str]:
        return self.ask("GET", f"/?token={self.token}", **headers)

    def save(self, *answers: list[Any], **headers: str | None) -> tuple[int, dict[str, str], str]:
        return self.ask("POST", "/save", {"base": self.base(), "answers": list(answers)}, **headers)

    def base(self) -> int:
        island = self.page()[2].split('type="application/json">')[1].split("</script>")[0]
        return int(json.loads(island)["base"])


def raw(client: Client, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", client.port)) as stranger:
        stranger.settimeout(20)
        answer = b""
        try:
            stranger.sendall(data)
            while piece := stranger.recv(65536):
                answer += piece
        except ConnectionError:
            pass
        return answer
