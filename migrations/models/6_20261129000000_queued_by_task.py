"""The index of a task's unfinished attempts, by a condition that no other index has."""

from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True


async def upgrade(db: BaseDBAsyncClient) -> str:
    return """
        -- The same rows, see task_logs_finished. On a new database both partial indexes cost the
        -- same, and a plan made then walked over the other one, with all that is queued, for each
        -- task that ticked. Reading goes on while the new one is made; what writes logs waits.
        CREATE INDEX task_logs_unfinished ON task_logs (task_id) WHERE finished_at IS NULL;
        DROP INDEX task_logs_queued_task;
        ALTER INDEX task_logs_unfinished RENAME TO task_logs_queued_task;
    """


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
        CREATE INDEX task_logs_waiting ON task_logs (task_id) WHERE status = 'QUEUED';
        DROP INDEX task_logs_queued_task;
        ALTER INDEX task_logs_waiting RENAME TO task_logs_queued_task;
    """


MODELS_STATE = (
    "eJztHWtz2zbyr2D0pemMm3P8Surc3IxiK4muip1a8uXa6oaGREjimAJUgoyqy+W/3y4IUh"
    "RfJvWwKVlfbBHAguAC2Bd2F99qY2EyW77sUHlfOyffapyOGfxYKD8gNTqZzEuxwKU9WzV0"
    "oYUqoT3pOrTvQuGA2pJBkclk37EmriU4Nr3mjExZbyTEPRkzKemQEcpNYrmSyP6ImZ7NXm"
    "JXpuhDXxYfFobq8i7vjBgxKQyMSoa1zB4Qh1qSSXL3lTkSRnF3QCQDuDtvAi2ZaVD3TnV2"
    "z9hEEhd66HuOFM4PkjhiekB6MwIDGQ4B/KDLpYAm1CXtX1tk6liuyzi2GKnhwGiY/4zdMD"
    "60YOCuEOqLPG796THDFUMGtQ581x//gWKLm+wvJoPHyb0xsJhtLsyEZWIHqtxwZxNVdnvb"
    "vHyvWiK2ekZf2N6Yz1tPZu5I8LC551nmS4TBuiHjzMGPj0wU92xbT2hQ5I8YClzHY+FQzX"
    "mByQbUs3G6a38feLyPs0z0slGjlS/xva//occYaW8YV9cdo93oGEYtsUxwLLE1oIv6guMS"
    "s7iLGPv23e93jhlVWsMXXHys37w4PvtR4UJId+ioSoW32ncFCAvFB1XYn6Nb/U8g/GJEnX"
    "SEB+1jKIeBLoPsoGCO7fleCtAXIGgDKK2N6V+GDWvXHcHjq8PDHBz/q36j0AytFJ4FbH6f"
    "JFzpqiO/DvE9x2+wZcvgOAqzi3g+KoTnoxw8HyXw7Fpj9l/BS+E5CrODeD47KYDms5NMLG"
    "PVIpI1XzI8x07iucP+ctPxHAOrMqprjPed2QSHsSpR7jT+3cFOxlL+aUcx++JT/d8K6eOZ"
    "rmldX30Imkdm4qJ1/S57BowxiCIshVtmL/h06CrPx5JL/6QQKT/JIeUnSVIeYC9NQnkY56"
    "mSyi7guhA1zyHmSVoeoOyezZKYvrSGTD5AaDRgDNm9mctkddBda3+s/3R0ekbEgFjm31xx"
    "z/jKROfdb51GPYZOARK9xcus2TlElddrbToSoPrY1hh1I1RKhOeCuiRBGyISPs6f7dLr+f"
    "S0yII+Pc1e0Vi3OAcTOrMFTSEc/2xfX2VzzghYbCZMq++S/8HHS7c6M7IOXQYRks828zkk"
    "zqXDXCeFdLTH1LabPAPXC4AxbMO4txDLMF7499Px0euzN1CrxogPr3PQ3/5Ub7WaV524Gu"
    "NS15PpNKTBvbFCaRPeTnmfJRWaELrS9KR+0Wn+q3FO/P9d3rwKSoJfXf6+3mw1Ls+J/38Z"
    "+vKmAHV5k0lb3iQUTIVbWLlUihQin01bEoBLzY22jlRlyT+2PD6glu05zHBHwG1Gwk6h8P"
    "lUJ7WDPfWJSTBfmWPTiTERttVPIezFqFCyl0pTo/Yvzc/nBP92OWDl+gsQJvy3DM0pItFk"
    "yzMJaWZsyYEFi3a1+Uj2sjXz8b550zCury6ANYQ/dSnMkS6EX8vM1c8F5urnzLn6OWuuht"
    "CYGZLBu80URp4tFmXB7xKROnp18vrkzfHZSUipwpI8cpWkVCazLSAzM2PoUYdyl2UYJB/e"
    "Hek9VXqH1DtGq1Fvd/TOWHgEGtYxPl1HK8OnZXbJq+MiNuTjbBPycXyj6DOz5Hy9s4aZuy"
    "MC9LT74dXKe+Dno6Pj49dHh8dnb05PXr8+fXMYboZkVd6ueNf8gBtjAfHJndIHwdM/kkyx"
    "8UANGufTcb4IGdeLNejL4Mej7o8rMX3x44bE1+anRrtT//R5QYa9rHcaWHO0IL8GpS/OYu"
    "s/7IR8aXY+Enwkv19fNeIHh2G7zu81HBP1XGFwMTWoGcVGUBwULUzw/My57AQvQu4nuKIT"
    "DByKLTfBi5BrmOAt0kK3YZbROWNwH/EXwIIe7d9PqWMaiRpxJLLaJqvGR+N4CeV0qCYJsY"
    "njjHjjXCj/lFqGr46uPXjIY8fw3VwKOu40UO4irtW/R9s8urdgH8SbEFeQO7+rO/SAof2+"
    "8EA0M8lAOMTi5E69zBZDeZf07Flftyu416ieyvnYRECezNFGvQn/nGyZf00/XKGlRJwQql"
    "Lcb08d4zxQm++kYXHDgTaJeX7I8BeFfFoN4nBlDWIlLbpCPKclhlkMB6se5jZIqYuxGvT2"
    "pK7LxhP3nAh4+NjpfCYOg6mU7gEB8o+F8G8sHKZ4h/R9MqcMntFG0FOLw54RLlwiGXfTXU"
    "rX/RL0QL3TnMH3Kb2LnL5DCUBygQyMWUNOoEwChVcHtlPh2SaxBfDBgAn6/qcwSMJCJrl3"
    "JN0qRud4vKRcMYdYJ9o3ZNtS/gQmujtT2w52k0RBDvcOfEoxI9YquK+iEFddUaIEOp+Jvx"
    "ESW5tyDBYgU4o+M9ZmHI50CMGylu8IeKXN3e2Lj43L21bjnAS/uvxT/eq23jon/v8uv6h3"
    "Lj4at5/PSfBrGWP3ul0GtH85iFXlVZME8PZoKGoHoGix8qrfOj0FsNj3EA1GMCVl5jwJvU"
    "WTPh0xjiTPksT02FvCUcQk/RHlw6IOgru0EkxGTdvibCmz7QLoFq0BOnBhzt2RJVUcHYhr"
    "uByG1ldYGt7k+S2CZ+HO9+tt4xZd9fz/Xd6+vbhotNvArv0fXX7T6Nz81rz6cE6CX3EHP4"
    "D6pfn5MxboH11+e/XL1fWXq3Oif1SAoyu/VUNZjZOTmu+AFgPddhvUOtzN+jYF8mUavRR1"
    "IFvDWoRaQcnansOsEjoW0AxnucPCRcitOSwM5Y4plUSvDTzo6TFlQHt+PGdgcUuOlloCMd"
    "CtWQPP8khk5LoTI0vAyOdFMdCleFHFZnaNbMn04LNRCRunIPa9LWgGVmNwMawOEHD78JqD"
    "vsvr23etBvl807hotps6mijcIqoSi6DAchUKbhr1VgzXNiCCMynL4joGt8d1AVybluwLxz"
    "R0tpOS8bXp0LsQy7LpMFt5b00maMdzxLi0UBaD3bPkKrPkYLYyFMRMfpyA2yGOvDaXf014"
    "kmjNDr2LgOwCoXr0oDsGazKNS+R56keAKryKa2ienNi0z9DvD88rgLcxB8+Z+2KMge4FrU"
    "17n/69y/dOOQPXPdNyMzyzwrqDPNcsiq1K+mb5x0RvyZ0+L1L+ud/UkGEc3RrKP11o3PWO"
    "Do/ODki35or58/fvZGq5IyIZrG/Y2H7OnXQHrY29ae9CVS2baLYLVXmyuSeXlSOXUX4I5C"
    "XNwSJbmQ0BqnywtqQCu5H0ilTt/WUPMufQVcZ3rVNv/2Jc3DRgSV+ek+hTl6un28+XkTr9"
    "pOsuG63GvE4/6brO9YcPrbBOPwV1N80PHxo389rg2a9vGzeN1nX9MqifP2v44Bw18rDMQe"
    "mrIkkMX2UnMXyVSGL4ZM6T26O1lTjXi/jRLGIzP7FVBGyf2KpYYitrUoaT+K13wboQy+xY"
    "JJXJSXYuk5NEMhMdB1HS7LwItXt4Xk/y2IrojqAavhcx3SZWdZCnOYLOaAyCVoX0RkdMz5"
    "X5BtVNHeKp3M+0GUrFx2gLjyNs+ydvIt+S6UgEjok6VgajZNBnLV1n3Mhb1qwv5p/4rmCQ"
    "W0JbTNs9qyfOWP5sNyds1A8ALmfijABtuxvXIxguq0ObPgovNcI9qHqQNo2gVUGj1kcxJT"
    "CWmU8yxIBQ4jtckBH9ypBSWA4J/b0Jmg+QglBO8CXkBUDcdi5+TNKjdXa8AgkaaYSVsaIE"
    "MJuwoyxHlPZnmNqWkk0h9y7Mu+XCXDLxVgVSbq33PPpZcbyWdpPK4Hph9YOcz462fJD5fc"
    "GgdlfdmyRHPQFfQlxm25pdjS3uuSoOXjOlt1o8hlpbgLgMFUN1JRKwLehipsRrh43F17RD"
    "nU2+LLj/qef175kKbfKDO31kYB8Dy5FuGKeM90Axchd6p/lwd8iAx9bQdw8kJyoVgC/Ors"
    "qG5YTy7GST+TpBHPYptYMH6PPZIaLs+OzwsNSx/CY0BuUmX1byCYEqdYS0F3728Vq7LexY"
    "0lAEOkXmEcJmlGdYSyJg8WQDAFehudSMhxyq2038kMtieM+TbK6vWws79l0z7i12++ld4+"
    "bFKzUTc6fjpKeSzwDLcqY51C5JnuuITdhL74/qaPe04QmPRURQppXeeGW6sWyQQnX0JZXr"
    "UjlhpytM8/oHNSY/HSa2XdliSP0EliMqy5gDY1D7XJYVO9vfm9yeixS6Z9rPxeR249uNsq"
    "49j1bnMhBtfzJK3IJe98m9f1cfJnnEeHjdT3Cb+LlSERSnQCsXlXNbGCU6WbjqJsln1t/9"
    "niFVnCFVZE811JX3IbtL2VaxFrk7i6m2hqUbF95coFdzQDzpi8nsrcpF6W+FEaOO22PUBb"
    "FLYBCfyn/FqHmgkrXihpgK516Zjuk94wRvx0rbXut/wXMJSNiybRWR8xjjyyRqmYPtzclV"
    "NydXJRnPfpo3N82OsNM8s3OcWgOAKmtoe4fWQLJog0adI3j41UWkDhm2LO7cSsk9rDtOXP"
    "aXe0AY7zuzCSyNt1CBooKfQL5P+Q8uiOMUBQI0+ahz6qkjQKDAlPA5bq3r63/v0FoFh1ZY"
    "yml3cueEiIQQu+Bdn8dX1pUjoSLE6T1jpjJGs1Sv1mh1LnFSTuz9SMsHiVNHOcFIN/R/Vx"
    "lefa0FiMqBcnQHTYUG/jLSVVZpNmbcRXMAo/0R8bPNJUnT2nvfE6YKEKbtM4LuveuL06Im"
    "/0pty7zxo7VS/Q3jTXJpkuU3Npxo6+JHaAEYufSzlkHBwJNoO+Fzn0AdsDOlWsgByaZHuS"
    "Qg+YNyIJnEW3VyTtzW/JIVqJT/rrI65hxq75BfOe3ygZCl5FznRys9PTWtUFaxitDMa8cC"
    "rTCNVOqaXAopVJvC9mvJnK8qNb+6bkxdpyMJ3nwOYpV/btPzTKA8B2Q6UvRHKXoCvoN46F"
    "cwWKhAEzQojWl27M29aAUCKUKEFjXRzCHWY6N5UnIYy3B5WiS2G1pl57g81dHdOeIe6JuG"
    "tIW7hPEzDrs1SS+DXOTBGsflO/DwHrMhXcMdUFvCuiJBgvgNwH0su+wSWITcmgXwjASUaC"
    "gofENmDEqOl2QcsNJZnGuhrQGH/VZJ9UiolFnCkjqYaOU9vpZEz8AxDWnps/Ay224Rcr/t"
    "qrztFJecOKK3zBVTCeCtmeuaMgP6qjfo4aBWOzOUFGE/PhMOWxH15Ysv3IMIzTmzaylqTK"
    "xFrjoTXPHZ9xsX1mt0e1/fwBhOLqegOuBIgEhLvIOO2nNFRN8jG0Cp22Z9rzVrnJb9ZRMv"
    "WEGP0d2WzKG0CLV7+syaMvZnKzPP6OJaP55Zj1tr8VRiWDPHrEdIv5DUOmxlWpt2o60lDf"
    "8C6JTDggcC9uZwTxyxl06q1iGirDEuz2F9xkHJZqkye91x6CzDdSUGGEP2o6cTbP9pX/pP"
    "L7q1H759/6FbS8mKC/LOFOUFtbr9k0RtmB94rgcUGr1BTWWLRxovJrDatYyxPpmi8/sf/4"
    "lNw15B3lUhLTrLuJzkEkJ6FG5rZrgWCjuSUNsWU8Jxu/UY7C2msubtpfTHl9JblKd6sEWr"
    "C8nneLF9ibz+GszPnggrT/lnoL/6gZKU1Z0b6MYOD7hy/YUDy8Kn0VE6TEASGcO8pLuybe"
    "g9K4jqVZMZq3oeOxcDs+Xvpz++eepTz00d4MTMSUsakraNRaljGtBm1HWxaDzCr3ireoL+"
    "BDApPgS1p/AtQNvOqxYufYK+RsvcHRuB27KVIMWY+XPeByTgwsC5x2NokFiC5WBapr9CgG"
    "PgrVHqcO953jCM7HJJcXbrFkiKNBtKCs9Opl1YBFPOUjLAZkcJhgCVv9pBGcKCCFH/vqd1"
    "GwVK3PzwzEw1a7UQpJhcnsyEXjEDy6ZvvcUQZcNhVKZdG5QdjRID2wVMP0ZIygJl9ly8oH"
    "kJBh0F3B4WHTpdKe+MgDkPhAf6fuCaTad0psU3OnCVMWCmj/KeB+uuiDmqzhyrP6qlWKJ0"
    "zUHuzZLzNg9Zn7J355qjgVYOBNK7pLK2m/Xc45xt3PnKHJl5t1w6aiMge/NOMfMObqoSGN"
    "bNdxC7G7keEd7osrSoDLyMLCssIwTZ38yWdTNbjPlhB08egPv9/xk+eUM="
)
