// placeholder: replaced as tests land
