// The least that a route can be which parses the same body: node express.mjs; says its port.
import express from 'express';

const app = express();
app.post('/', express.json(), (req, res) => void res.status(202).json({ index: req.body.index ?? 0 }));
const server = app.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
process.once('SIGTERM', () => process.exit());
