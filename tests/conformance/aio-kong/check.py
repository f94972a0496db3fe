"""A round of CRUD by aio-kong, a client of Kong's Admin API that we did not write: python check.py URL

It creates, lists, finds, changes and deletes whatever that client knows, and applies a document by it twice. Whatever the
client or an assertion finds wrong ends it with a trace and exit code 1.
"""

import asyncio
import sys

from kong.client import Kong, KongResponseError

DOCUMENT = {
    "services": [
        {
            "name": "applied",
            "url": "http://127.0.0.1:9999/base",
            "routes": [{"name": "applied-route", "hosts": ["a.example"], "paths": ["/a"]}],
            "plugins": [{"name": "rate-limiting", "config": {"minute": 5, "policy": "local"}}],
        }
    ],
    "consumers": [
        {"username": "applied-user", "groups": ["admins"], "auths": [{"type": "key-auth", "config": {"key": "applied-key"}}]}
    ],
}


async def services_and_routes(kong: Kong) -> None:
    service = await kong.services.create(name="one", host="one.example", port=8080)
    assert service.name == "one" and service.host == "one.example" and service.protocol == "http"
    assert service["retries"] == 5 and service["created_at"] > 0
    assert (await kong.services.get("one")).id == service.id
    assert await kong.services.has("one") and not await kong.services.has("two")
    changed = await kong.services.update("one", port=9090)
    assert changed["port"] == 9090 and changed["host"] == "one.example"
    route = await service.routes.create(name="r", hosts=["a.example", "b.example"], strip_path=False)
    assert route["service"]["id"] == service.id and route["hosts"] == ["a.example", "b.example"]
    assert [each.id for each in await service.routes.get_list()] == [route.id]
    plugin = await service.plugins.create(name="key-auth", config={"key_names": ["x-key"]})
    assert plugin["config"]["key_names"] == ["x-key"] and plugin["service"]["id"] == service.id
    assert len(await kong.plugins.get_list()) == 1
    try:
        await kong.services.create(name="one", host="h")
        raise AssertionError("a second service of the same name")
    except KongResponseError as error:
        assert error.status == 409, error
    for number in range(25):
        await kong.services.create(name=f"many-{number}", host="h", tags=["many"])
    assert len(await kong.services.get_full_list(size=4)) == 26
    assert len(await kong.services.get_full_list(size=4, tags="many")) == 25


async def consumers(kong: Kong) -> None:
    consumer = await kong.consumers.create(username="jo", custom_id="7")
    key = await consumer.keyauths.create(key="a-key")
    assert key["key"] == "a-key" and key["consumer"]["id"] == consumer.id
    generated = await consumer.keyauths.create()
    assert len(generated["key"]) >= 32
    token = await consumer.jwts.create()
    assert token["algorithm"] == "HS256" and token["secret"]
    await consumer.basicauths.create(username="jo", password="secret")
    assert (await consumer.basicauths.get_list())[0]["password"] != "secret"
    group = await consumer.acls.create(group="admins")
    assert group["group"] == "admins"
    assert len(await consumer.keyauths.get_list()) == 2
    assert await kong.consumers.delete("jo")
    assert not await kong.consumers.has("jo")


async def main(url: str) -> None:
    async with Kong(url) as kong:
        await services_and_routes(kong)
        await consumers(kong)
        first = await kong.apply_json(DOCUMENT)
        again = await kong.apply_json(DOCUMENT)
        assert [each["id"] for each in first["services"]] == [each["id"] for each in again["services"]]
        assert again["services"][0]["routes"][0]["name"] == "applied-route"
        await kong.delete_all()
        assert await kong.services.get_full_list() == [] and await kong.consumers.get_full_list() == []


asyncio.run(main(sys.argv[1]))
