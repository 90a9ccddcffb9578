"""AfriSenti as its authors publish it: :func:`tasks.sources.fingerprint` of each file's examples."""

from __future__ import annotations

COMMIT = "5aec3cf"

PINS: dict[str, dict[str, str]] = {
    "amh": {
        "train": "817481f1e5409550b8482274a428b567dd3f94b2b8d8826af6c900475e0563dc",
        "dev": "757341fe708afc985135779bf2ba1c6822dcdd44c135ca6ab34e23410b028a38",
        "test": "e0e21c688cf07ca4df68d5c9c6dc46c8efa998bbc17acc6008742c0a242a168f",
    },
    "arq": {
        "train": "e8c9b52ac117a80a61acc3e1ff668131272f1f8a1cdd8c961f5a5e42a8c45eef",
        "dev": "914a8917c7cb199f6eba7d4e101c1569678f655e2cff9066b0338fae2bbe08a5",
        "test": "9504acebdfd2eadad06c7d8c577ece0dba8b72e1666302a6d903909395525e69",
    },
    "ary": {
        "train": "175181be851586f78efd51fa0322751f32e44f43fd8486a61e5a6c251b568e7d",
        "dev": "eea77077f9ae7d7a80e8557ac7daa905318bb3b9d428cfd7d88e048e46f39b87",
        "test": "6e254b59f83d2fd345fe806235d92576a7f9007c82b56f43f5bdf5fcb18ec470",
    },
    "hau": {
        "train": "91d11ff4cc1e2b66b6ee665da26c28a500a2b5ea220dd509c44df2d7315b204c",
        "dev": "ea8906e0fbe1d2c5205e8c66053808519a3f09ba3aa2646de13670ba16b65d47",
        "test": "6fc79c21a8975652be5c72d70e05728f2f84b56e6f54afa83ea1b79b073aefef",
    },
    "ibo": {
        "train": "932ac5bfa2a7396c739350ecc777206bac6c510ee04eb828aca4432b37e33676",
        "dev": "605b10bcbe500df1f8844525fe8001232c963b66c5b17079354c298089c1fef3",
        "test": "0707a7826a24c96a6251c5b19ef0d1bf83195d895ec22dec274d9cbf8734ce96",
    },
    "kin": {
        "train": "fb53498bdb8970820bc0ba11c296c693b325a330688f1b53efe3037c0c3701ad",
        "dev": "934e1ef25d2465e1a1b3902b41bea1a82d0258231473f90234ac8d759b811105",
        "test": "8c095552a4f89781b620ea7d057c94d4c4797de9a013f400fc366cc907a63bb0",
    },
    "orm": {
        "dev": "ffcbedd4586f312f0086afc3910afd3809f1efa66ea47331423cada89a00bf76",
        "test": "456cfca7c7c5738530cc52d724cf36dd2255786eaa5d6692c56a14f9d430e0f5",
    },
    "pcm": {
        "train": "123445931a114b9de924453d742124261f5f56b04bd11fb412ef2dd3ba737a3b",
        "dev": "9e88d59c5518feb7dc5254b75b12e1633d4ddc90420d5ce9c114f885ff0eb276",
        "test": "3bc20ad00dc303f2f37f87ff7230cacd33002f4ed2c3b2d26581bdce38289e3e",
    },
    "por": {
        "train": "19e4a69b00cc3c79c7730409140ab3ff444ab0821dd38399a00c92b6554bb028",
        "dev": "b6529c2c2eff783d116beaf908dfc65bc9dc1d969f412968b90d100909b090d2",
        "test": "555e703ad4cc23961bb265f82833d434adfd78f373058bb2fadbdf35389cbf42",
    },
    "swa": {
        "train": "5d71ed3329f0cf6e00242c117cd772638388d2497809aeee1b57e21f685500f0",
        "dev": "6b7b964170d57a85d15461dc3b358ab34696db0a94d34878d8e676219a9a884d",
        "test": "f20e7bacb172f6b041bdb1d04a3b83e829bacf930ec9d3cdd0f97d7129f18016",
    },
    "tir": {
        "dev": "c5308263fe0cc7cd10b22b6653fb8f29de1c5bef4089fb637641dfd6a5a2a2cd",
        "test": "2b834bc2b85bed42cf6e5785422504fb0659fc14a439424bb720657224233086",
    },
    "tso": {
        "train": "7ff0da6acad65fb73a3afd4f9ce63a46260d0d1a065efb902b921e55731cc9da",
        "dev": "5f08e6052c5c6be088624e862d38e6fedb8b21d4872c28f68826df63d6838ca3",
        "test": "20378ee616da9f8dc8de18285578a4235587a388640cd6598130d478d189f487",
    },
    "twi": {
        "train": "ddb20231c66610ea33a6615ec1639a532a4e0116cba7047fd779417c11765260",
        "dev": "567110c5ca6c32d87f6fc0b4718c2bb9d47f93f7d8488cf8e85e6aa9f6c8e7eb",
        "test": "43d9f3185be5bd52cf0c52c6ae28a8eee7fb3e7808b0ebca91e88fa4d34f7b1b",
    },
    "yor": {
        "train": "17827863e18f43dccdbed474f5ecafd579705886979c7ee41113cb07f30fd229",
        "dev": "c81b290b9ff1d73b86c2fc148c4f96ae5a85e55487af79091612f487333277c8",
        "test": "a579b7d5ca5543852e1ad2268ae6fb91183bfe66ed358a67853124cb368805e7",
    },
}
