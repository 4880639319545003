"""When something came to wait on a webhook on which nothing did."""

from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True


async def upgrade(db: BaseDBAsyncClient) -> str:
    return """
        ALTER TABLE "webhook_lanes" ADD "fresh_at" TIMESTAMPTZ;
        COMMENT ON COLUMN webhook_lanes."fresh_at" IS
            'when something came to wait where nothing did; null once it is sent';
        CREATE INDEX webhook_lanes_fresh ON webhook_lanes (origin, fresh_at)
            WHERE fresh_at IS NOT NULL;
    """


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
        ALTER TABLE "webhook_lanes" DROP COLUMN "fresh_at";
    """


MODELS_STATE = (
    "eJztHWtz2kjyr0zxJdkqXy7Gjp2Qq6vCNkm4EOM1eLMPtuSxNIDKYobVjMJyufz36x49EH"
    "pgnrbAVLkMmpmWhu6efk1P63tpICzmyFdtKu9LFfK9xOmAwZep9gNSosPhpBUbFL1z9EAF"
    "I3QLvZPKpaaCxi51JIMmi0nTtYfKFhyHNjkjI3bXF+KeDJiUtMcI5RaxlSTS7DPLc9grvJ"
    "UlTLiXzXtzQ3V4h7f7jFgUJkYlw17mdIlLbckkuf3GXAmzuD0gkgHcrTeEkcwyqLrVN7tn"
    "bCiJgjuYniuF+0ISV4wOyN2YwER6PQA/6HApYAhVpPVzg4xcWynGcURfTwdmw/xrvA3jPR"
    "smroTQv8jj9l8eM5ToMeh14Xf98Sc029xifzMZXg7vja7NHGuKEraFN9DthhoPddvNTf3i"
    "gx6J2LozTOF4Az4ZPRyrvuDRcM+zrVcIg309xpmLPz5GKO45TkDQsMmfMTQo12PRVK1Jg8"
    "W61HOQ3KV/dT1uIpVJwDZ6tvIVPvf038EcY+MN47LZNlq1tmGUUmyCc0nwQNBkCo4sZnOF"
    "GPv+w7/vBDO6tYQPOP9UvX55dPKTxoWQqufqTo230g8NCIzig2rsT9CtP1MIP+9TNxvh4f"
    "gEymGiyyA7bJhge7KWQvSFCNoASksD+rfhAO+qPlwevn49A8e/VK81mmGUxrOAxe+LhMug"
    "q+z3Ib4n+A2X7CI4jsPsIp7Lc+G5PAPP5RSelT1g/xV8ITzHYXYQzyfHc6D55DgXy9g1je"
    "RALxme66Tx3GZ/q2w8J8CKjOoS46Y7HuI0VhXK7dqvbbzJQMq/nDhmX36p/qqRPhgHPY3m"
    "5cdweIwS543mWT4FjAGYIixDW+YzfDZ0kemxJOsfzyXKj2eI8uO0KA+xl2WhPIzzTEtlF3"
    "A9lzSfIczTsjxE2T0bpzF9YfeYfEDQBIAJZN+NFZPFQXep9an6j/KbEyK6xLb+qcQ94ysL"
    "nbPf2rVqAp0CLHqbL8KzE4gi82tp1Bfg+jj2AH0jdEqEp8BdkuANEQk/zqf2wvz85s08DP"
    "3mTT5HY980DYZ07AiaITj+02pe5mvOGFiCEpZtKvI/+PFSFYci6/BlECGz1eZsDYm0dJly"
    "M0RHa0Adp85zcD0FmMA2zHsLsQzzhY9/HJVPT95Cr54jXpzOQH/rS7XRqF+2k26MosqT2T"
    "Kkxr2BRmkdnk65ydIOTQRdaHlSPW/Xf6lViP/Z4fXLsCX81uEfqvVG7aJC/M9l5MvbOaTL"
    "21zZ8jblYGrcAudSKTKEfL5sSQEuRZsgOlIUln9se7xLbcdzmaH6oG36wsmQ8LOlTuYN9t"
    "InYcF8Y65Dh8ZQOLaZIdjnk0LpuxRaGrU+168qBP93OGCl+RUEE34sI3PmsWjy7ZmUNTOw"
    "ZdcGpl2NHum7bA09PtSva0bz8hxUQ/Q1aAUaBY3wbRlavZuDVu9yafUuj1Y9GMwMyeDZVo"
    "YizzeL8uB3SUiVD49Pj98enRxHkipqmSWu0pLKYo4NYmZs9DzqUq5YTkDy4dWRfadCr5Bq"
    "22jUqq12sDKmLkGGtY0vzXhndLXMKjk8mieGfJQfQj5KLpRgzyxNrzO7l7s6YkBPux4OV1"
    "4D78rlo6PT8uujk7dvjk9P37x9HS2GdNesVXFW/4gLYwrx6ZViguHpb0lmxHigB4Pz2Tif"
    "hkz6xQHoq/DLo66PSzF6+dOGzNf6l1qrXf1yNWXDXlTbNewpT9mvYevLkwT/RzchX+vtTw"
    "Qvye/Ny1py4zAa1/69hHOinhIGFyODWnFshM1h0xSBJ3vOixJ4GnJP4IISGDQUW47A05Br"
    "IPAWeaHbQGVMzujex/IFsOGOmvcj6lpGqkeURd7YdNegPEi2UE57mkiITZxnLBvnXOenlH"
    "JydYLeg4cydgw/zWXOxJ0a2l1E2eY9xuYxvQXvQbwhUYLc+re6xQwYaprCA9PMIl3hEpuT"
    "W/0wR/TkbTqzZ323XSG9Rt9psRybGMiTJdroJ+G/4y3LrzEjDl3IxImgCqX99tIxqQOD8J"
    "00bG64MCZF54cCf3HIp/UgXq/sQazkRRdI5zREL0/hYNfD2gYl9XyqBrM9qVJsMFQVIuDi"
    "U7t9RVwGpJTqgID4x0b4GAiXad0h/ZzMEYNrjBHcaeZwxoQLRSTjKjuldN0PwQzU20Az+D"
    "mlt7Hdd2gBSC5QgTG7xwm0SZDwesN2JDzHIo4APRgqQT//FCZJWKQk94mkW6XoXI8vaFdM"
    "INaJ9g3FtnQ+gYXpztRxwtUk0ZDDtQM/Zb4g1iq4L6IRV1xTYgF0PpN8IxS2DuV4WICMKO"
    "bM2JtJOAqOECwb+Y6BFzrc3Tr/VLu4adQqJPzW4V+qlzfVRoX4nx1+Xm2ffzJuriok/LZM"
    "sHvdKQNBfjmYVYu7Jing7fFQ9ApA02Jlrt86PwWwaHqIBiMkySI0T0NvEdFHfcZR5NmSWB"
    "57TziamMTsU96bN0FwlzjBYtRybM6WCttOgW4RD9CuApqrvi31OTow15AdevY3YA1v+PyY"
    "4Fmk8/18U7vBVD3/s8NbN+fntVYL1LX/pcOva+3r3+qXHysk/JZM8AOoz/WrK2wIvnT4ze"
    "Xny+bXywoJvhRAo+u8VUNHjdNEnZ2AlgDd9hjUOtLNTIeC+LKMuwx3IN/DmoZawcnans2s"
    "BXwskBnucpuF05Bbs1kY2R0jKknAG7jRc8d0AO356ZyuzW3ZX4oFEqBbwwPPckukr9TQyD"
    "MwZuuiBOhSuqhglF2jWrI8+NnohA0yEPvBETQHqwm4BFa7CLh9eJ2BvovmzVmjRq6ua+f1"
    "Vj04TRQtEd2JTdBgK42C61q1kcC1A4jgTMpFcZ2A2+N6DlxbtjSFaxlBtZMFz9dmQ+/CWZ"
    "ZNH7OV9/ZwiHE8VwwWNsoSsHuVXGSVHFIrx0HM1ccpuB3SyGtL+Q8ETxqt+UfvYiC7IKge"
    "/dAdA57M0hKzMvVjQAXm4hKGJ4cONRnm/eF+Beg25uI+sykGeNB9zmjTPqd/n/K9U8nAVc"
    "+yVU5mVtR3MCs1i+KoBXOz/G2i9+Q22C/S+bnf9ZRhHp0S2j8dGNzxyq/LJwekU1Jicv3j"
    "BxnZqk8kA/6Ghe3X3MlO0NrYk/YpVMWKieanUC0uNvfisnDiMq4PQbxkJVjkO7MRQJE31p"
    "Z0YDdSXpHqtb/sRuYEusj4LrWrrc/G+XUNWPqiQuJXHa6vbq4uYn3BVdB3UWvUJn3BVdDX"
    "bn782Ij6gquw77r+8WPtetIbXvv9LeO61mhWL8L+yXUAH+6jxi6W2Sg9nKeI4WF+EcPDVB"
    "HDJ0ue3B6vbYF9vVgezTQ2Zxe2ioHtC1vNV9jKHi6iSfzRuxBdSFR2nKeUyXF+LZPjVDGT"
    "4BzEgmHnaajdw/N6iscWxHes6erkkRmQ4UEmRhzM8iP9WueGHQye05usYtYZBwIQUwzH7/"
    "WxAb+AYZ9RV90xqohUAuOtOlWRUesgKvw+Eu49tip6zzjBQkZpJ3ITD3guvuPWHi/FGvzL"
    "5NRMwArlPO63bjIyNYuSN7Un8+bI7Aony4ieYX+EAEX2XPe2R2hZtBRVMwwPv3seq0NGI+"
    "eKX7tiVCGU3APfcaLAHTsgUYX799CBpoJ/1tek/IUiLlgFmLTYp/7rYUauAIMCT+9mR63X"
    "fP812xuzs81W2AxcwtrIWj2rF+1aPq9sRskKYOWs8skzvPkIYhccocfYzi6IcPrAmHWua8"
    "1kltiJd88UTnpz3YyNfFA4tfVhVKlIsC/vH8bxvRb9KiqsDwCeSiAn9FAt+waMK9wOZ9Ts"
    "Ez8xOC2a1n73vWAqgGBasDZjAaoyrn6e5REyOAoii+r8G3Vs69oPrMkseZQcMlMm2f5gw4"
    "2PflAufRIjAlMch+VRJLnwE0yhoetJjJ1wsGsGNvdUlKMzooGRA5bNHeWSgOUPzgG+iq8r"
    "MkI1m3rIClLKf9aiPuYEahP+5XKya+9dBt7lDAtvwTzQgpwOLFACaEFkZtN/UU+GqGxGr/"
    "DJl5D+a37mjl9L5n7Tp6h1ZShd+UQSLFINZlVFR5HvPAskzwEZ9bX80Y6egN9BPKyU053q"
    "wBA0OI1ZcezNPWgFAfn0b1F6UnG4sXckzTD3wN80pCPUEsHPJOzWnE8Ij42GPI7s2/Ww5F"
    "SPrqFcz5aorthpQvwNoH3sjDdOzmaBacitYYBnZKDEqAzCO//dFDPO2yUBC33grhTFGnDa"
    "77VVj4JKhyVgnTuCB3Wvnv5MHmhMQ9rBXvgiy24acr/sirzstJYcuuJumWpAKeCtoXVJhw"
    "F91xv8cHzn/RgtRViPz0TDFsR9+eob92BCc86cUoYbkxgx050JqzGa/uC5/ZpgvO9vUA5/"
    "cgSuA84EhLTEcmHUmTgiQcnPEEoXBtUGm34RaZY/s/4HrODHBLddMN1tGmr3/Jk1Ha7Od2"
    "aeUY3Rru3KyHEPvHgqCeYcYQEclF8oal22sqzNKj5qS8Ov1ZuxWSCEwyjP2XSJwyWxDICP"
    "ieRsUbUOE+Ws2WxMKaazenKH8ubLWe365eFP0zZi+rCny0zGwclmmTZ71XXpOC91dhowge"
    "xHz/xu/eVc+FcvO6UX33+86JQyDjCBvTNCe0Fzt7+TGATmu57yQEJjNqilY/Eo48UQuD2w"
    "MdZnU7R//+PPBBn2DvKuGmlTb0AFdpJLGOlxuK2hcCkydiRWWxcjwnG53bGufj9B334mZV"
    "uLZaU3KM/MYIt3z2WfYw3yBY5gB2AVLWuB83R+BuarH2hLWZdHwDR2uEDO9RkH2MKX0XE5"
    "jO+XGABdslPZNvScFUz1otmMRd2PnZiB+fb302/fPPWu56Y2cBLhpCUDSdumovQ2DXgzur"
    "InBo/wV7zXd6rgW3L6eBBHv2Xheeiqqfo8+Cr7Zcp8xuC2jBOkGDCf5iYgARkDaY/b0Po9"
    "SH6XZVs+h4DGMFmwN/08i8GiulzSnN06BsmwZiNL4dnZtFNMMOJZb4nJPyUYART+FL4OhI"
    "UnRP3SPOsOCixwSP+ZhWrWGiHICLk8WQi9YAGWTRcoxSPKhsuozKrwkn8aJQG2C5h+jCMp"
    "U5LZU1hLdwkFHQfcHhUdJV3p7IxQOXeFB/5+mJpNR3QcmG/+62Qwgdvfynseqrsg4agqc2"
    "2zX8oqA+j3HMwsAjgZ81D0KX91rvk00MoHgYJVUtjYzXpK7uYHd74xV+aWActGbQxkH96Z"
    "L7yDi2oBDAfDdxC7G6lkB09ULOtUBtaNyjuWEYHsi2jlFdFKKD+8wZMfwP3xf496gh8="
)
