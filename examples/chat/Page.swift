// The page of the chat: one file, nothing loaded from elsewhere. What others say is text, never markup.

import UringServer

let page = SharedBytes(
    """
    <!doctype html>
    <html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>chat</title>
    <style>
    body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 0 auto; padding: 1rem; color: #222; background: #f6f5f2 }
    ol { list-style: none; padding: 0; margin: 1rem 0; height: 60vh; overflow-y: auto }
    li { background: #fff; border-radius: .5rem; padding: .25rem .75rem; margin: .25rem 0; overflow-wrap: anywhere }
    li.note { background: none; color: #666; font-size: .85rem }
    form { display: flex; gap: .5rem }
    input { flex: 1; font: inherit; padding: .5rem }
    button { font: inherit; padding: .5rem 1rem }
    </style>
    <h1>chat</h1>
    <p id="state" role="status">connecting…</p>
    <ol></ol>
    <form><input autofocus autocomplete="off" maxlength="1000" aria-label="message" placeholder="say something"><button>say</button></form>
    <script>
    const list = document.querySelector('ol'), input = document.querySelector('input'), state = document.querySelector('#state')
    const name = new URLSearchParams(location.search).get('name') || 'guest ' + Math.floor(Math.random() * 1000)
    let socket
    function connect() {
        socket = new WebSocket(location.origin.replace(/^http/, 'ws') + '/chat?name=' + encodeURIComponent(name))
        socket.onopen = () => { list.replaceChildren(); state.textContent = 'you are ' + name }
        socket.onmessage = event => {
            const line = Object.assign(document.createElement('li'), { textContent: event.data, className: event.data.startsWith('* ') ? 'note' : '' })
            list.append(line)
            line.scrollIntoView()
        }
        socket.onclose = () => { state.textContent = 'not connected, trying again…'; setTimeout(connect, 1000) }
    }
    connect()
    document.querySelector('form').onsubmit = event => {
        event.preventDefault()
        if (input.value && socket.readyState === WebSocket.OPEN) { socket.send(input.value); input.value = '' }
    }
    </script>
    """)
