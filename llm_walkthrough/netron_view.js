// netron asks for consent unless this cookie is there; here it is not needed
Object.defineProperty(document, "cookie", {get: () => "consent=1", set: () => {}});
